"""Models behind the store: each call is made once, kept and recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from mmmodal.authoring.parts import PartError
from mmmodal_datagen.contracts.language_model import ChatTurn, Completion, LanguageModel, Sampling
from mmmodal_datagen.contracts.outcomes import Failed
from mmmodal_datagen.contracts.recogniser import Confidence, Recogniser, Transcript
from mmmodal_datagen.contracts.translator import Translator
from mmmodal_datagen.fingerprints import digest
from mmmodal_datagen.replay.store import Answer, Ask, ReplayStore
from mmmodal_datagen.rows import Call

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Meter", "Models"]


@dataclass
class Meter:
    """Counts of calls so far, for the progress line."""

    calls: int = 0
    replayed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def add(self, call: Call, replayed: bool, cost: float = 0.0) -> None:
        """Count a call; a replayed one costs nothing."""
        self.calls += not replayed
        self.replayed += replayed
        if not replayed:
            self.input_tokens += call.input_tokens or 0
            self.output_tokens += call.output_tokens or 0
            self.cost += cost


@dataclass(frozen=True)
class Models:
    """The models of a step, and the store that keeps their answers."""

    store: ReplayStore | None
    """None while a step plans, when no call is allowed."""

    language_model: LanguageModel | None = None
    recogniser: Recogniser | None = None
    translator: Translator | None = None
    meter: Meter = field(default_factory=Meter)

    @classmethod
    def none(cls) -> Self:
        """Return no models."""
        return cls(store=None)

    @property
    def confidence(self) -> Confidence:
        """The confidence that the recogniser requires by default.

        Raises:
            PartError: there is no recogniser.
        """
        return self._recogniser().confidence

    async def chat(
        self, turns: Sequence[ChatTurn], sampling: Sampling, attempt: int, calls: list[Call]
    ) -> Completion:
        """Return the next message, and append the call to `calls`."""
        model = self._language_model()
        prompt = [turn.model_dump() for turn in turns]
        sampling = _seeded(sampling, model, prompt, attempt)
        request = _request("chat", model.name, model.identity(), prompt, _set(sampling), attempt)

        async def ask() -> Mapping[str, Any]:
            return _whole(await model.chat(turns, sampling)).model_dump(mode="json")

        answer = await self._kept(request, ask)
        return self._completed(request, answer, calls)

    async def complete(
        self, prompt: str, sampling: Sampling, attempt: int, calls: list[Call]
    ) -> Completion:
        """Return the continuation of a text, and append the call to `calls`."""
        model = self._language_model()
        sampling = _seeded(sampling, model, prompt, attempt)
        identity = model.identity()
        request = _request("complete", model.name, identity, prompt, _set(sampling), attempt)

        async def ask() -> Mapping[str, Any]:
            return _whole(await model.complete(prompt, sampling)).model_dump(mode="json")

        answer = await self._kept(request, ask)
        return self._completed(request, answer, calls)

    async def transcribe(
        self, sound: np.ndarray, language: str | None, raw_score: bool, calls: list[Call]
    ) -> Transcript:
        """Return the transcript of a clip, and append the call to `calls`."""
        recogniser = self._recogniser()
        heard = hashlib.sha256(sound.tobytes()).hexdigest()
        settings = {"language": language, "raw_score": raw_score}
        identity = recogniser.identity()
        request = _request("transcribe", recogniser.name, identity, heard, settings, 0)

        async def ask() -> Mapping[str, Any]:
            found = await recogniser.transcribe(sound, language=language, raw_score=raw_score)
            return found.model_dump(mode="json")

        answer = await self._kept(request, ask)
        self._record(_call(request, answer.key), answer.replayed, calls)
        return Transcript.model_validate(answer.values)

    async def translate(
        self, texts: Sequence[str], source: str, target: str, calls: list[Call]
    ) -> list[str]:
        """Return the translation of each text, and append each call to `calls`."""
        return [await self._translated(text, source, target, calls) for text in texts]

    async def _translated(self, text: str, source: str, target: str, calls: list[Call]) -> str:
        if self.translator is None:
            raise PartError("this step has no translator; name one in the pipeline's `backends`")
        translator = self.translator
        settings = {"source": source, "target": target}
        identity = translator.identity()
        request = _request("translate", translator.name, identity, text, settings, 0)

        async def ask() -> Mapping[str, Any]:
            (translated,) = await translator.translate([text], source=source, target=target)
            return {"text": translated}

        answer = await self._kept(request, ask)
        self._record(_call(request, answer.key), answer.replayed, calls)
        return str(answer.values["text"])

    async def _kept(self, request: Mapping[str, Any], ask: Ask) -> Answer:
        assert self.store is not None, "a step calls no model while it plans"
        return await self.store.answer(request, ask)

    def _language_model(self) -> LanguageModel:
        if self.language_model is None:
            reason = "this step has no language model; name one in the pipeline's `backends`"
            raise PartError(reason)
        return self.language_model

    def _recogniser(self) -> Recogniser:
        if self.recogniser is None:
            raise PartError("this step has no recogniser; name one in the pipeline's `backends`")
        return self.recogniser

    def _completed(
        self, request: Mapping[str, Any], answer: Answer, calls: list[Call]
    ) -> Completion:
        completion = Completion.model_validate(answer.values)
        call = _call(request, answer.key)
        used = {k: v for k, v in call.parameters.items() if k not in completion.left_out}
        call = call.model_copy(
            update={
                "parameters": used,
                "model": completion.model,
                "finish_reason": completion.finish_reason,
                "input_tokens": completion.input_tokens,
                "output_tokens": completion.output_tokens,
            }
        )
        self.meter.add(call, answer.replayed, self._language_model().cost(completion))
        calls.append(call)
        return completion

    def _record(self, call: Call, replayed: bool, calls: list[Call]) -> None:
        self.meter.add(call, replayed)
        calls.append(call)


def _request(
    kind: str,
    backend: str,
    identity: Mapping[str, Any],
    prompt: Any,
    parameters: Mapping[str, Any],
    attempt: int,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "backend": backend,
        "identity": dict(identity),
        "prompt": prompt,
        "parameters": dict(parameters),
        "attempt": attempt,
    }


def _seeded(sampling: Sampling, model: LanguageModel, prompt: Any, attempt: int) -> Sampling:
    """Return the sampling of an attempt; each attempt has its own seed, if the model takes one."""
    if sampling.seed is not None:
        return sampling.model_copy(update={"seed": sampling.seed + attempt})
    if not model.seeded:
        return sampling
    seed = int(digest([prompt, attempt])[:8], 16)
    return sampling.model_copy(update={"seed": seed})


def _set(sampling: Sampling) -> dict[str, Any]:
    return sampling.model_dump(mode="json", exclude_none=True)


def _call(request: Mapping[str, Any], key: str) -> Call:
    identity = request["identity"]
    return Call(
        backend=request["backend"],
        model=str(identity.get("model", "")),
        revision=identity.get("revision"),
        parameters=request["parameters"],
        prompt_sha256=digest(request["prompt"]),
        request_sha256=key,
        attempt=request["attempt"],
    )


def _whole(completion: Completion) -> Completion:
    """Return a completion; raise `Failed` if its text cannot be encoded as UTF-8."""
    try:
        completion.text.encode("utf-8")
    except UnicodeEncodeError:
        raise Failed("half a character", "the answer ends within an emoji or the like") from None
    return completion
