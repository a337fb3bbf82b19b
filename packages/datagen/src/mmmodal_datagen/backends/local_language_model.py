"""`transformers`: a causal language model in this process; an endpoint of vLLM is faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.authoring.parts import Config
from mmmodal_datagen.backends.batcher import Batcher
from mmmodal_datagen.backends.local_files import LocalOptions, loaded
from mmmodal_datagen.contracts import (
    BackendError,
    ChatTurn,
    Completion,
    LanguageModel,
    Sampling,
    StopRun,
)
from mmmodal_datagen.texts.thoughts import holds_thoughts

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LocalLanguageModel"]


@dataclass(frozen=True)
class _Asked:
    prompt: str | tuple[ChatTurn, ...]
    sampling: Sampling


class LocalLanguageModel(LanguageModel):
    """Any causal language model that transformers loads, one prompt at a time.

    Equal prompts, sampling and seeds give equal answers, independent of earlier calls.
    """

    name: ClassVar[str] = "transformers"
    Options: ClassVar[type[Config]] = LocalOptions
    seeded: ClassVar[bool] = True
    options: LocalOptions

    def __init__(self, options: Config | None = None) -> None:
        super().__init__(options)
        self._batcher = Batcher(self._answers, 1)

    def identity(self) -> dict[str, Any]:
        """Return the weights and their precision."""
        chosen = self.options
        return {"model": chosen.source, "revision": chosen.revision, "dtype": chosen.dtype}

    async def chat(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Completion:
        """Return the continuation of the conversation in the model's own template."""
        if not all(isinstance(turn.content, str) for turn in turns):
            reads = "reads texts alone; name an endpoint whose model reads media"
            raise StopRun(f"the language model {self.options.source} {reads}")
        return await self._batcher.ask(_Asked(tuple(turns), sampling))

    async def complete(self, prompt: str, sampling: Sampling) -> Completion:
        """Return the continuation of the text."""
        return await self._batcher.ask(_Asked(prompt, sampling))

    async def aclose(self) -> None:
        """End the model's thread."""
        self._batcher.close()

    def _answers(self, asked: Sequence[_Asked]) -> list[Completion | Exception]:
        return [self._answer(each) for each in asked]

    def _answer(self, asked: _Asked) -> Completion | Exception:
        import torch

        model, tokenizer = self._model
        ids = self._ids(asked.prompt).to(model.device)  # [1, T]
        sampling = asked.sampling
        longest = getattr(model.config, "max_position_embeddings", None)
        if longest is not None and ids.shape[1] + sampling.max_tokens > longest:
            asks = f"{ids.shape[1]:,} tokens and {sampling.max_tokens:,} more, of {longest:,}"
            return BackendError("prompt too long", asks)
        torch.manual_seed(sampling.seed or 0)
        with torch.inference_mode():
            written = model.generate(ids, **_drawn(sampling, tokenizer))[0, ids.shape[1] :]
        return _completion(written, sampling, self.options.source, tokenizer, ids.shape[1])

    def _ids(self, prompt: str | tuple[ChatTurn, ...]) -> Tensor:
        _, tokenizer = self._model
        if isinstance(prompt, str):
            # A prompt that begins with begin-of-text must not get a second one.
            begun = bool(tokenizer.bos_token) and prompt.startswith(tokenizer.bos_token)
            encoded = tokenizer(prompt, return_tensors="pt", add_special_tokens=not begun)
        else:
            turns = [turn.model_dump() for turn in prompt]
            encoded = tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        ids: Tensor = encoded["input_ids"]
        return ids

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        revision = self.options.revision or "main"
        tokenizer = AutoTokenizer.from_pretrained(self.options.source, revision=revision)
        return loaded(AutoModelForCausalLM, self.options), tokenizer


def _drawn(sampling: Sampling, tokenizer: Any) -> dict[str, Any]:
    """Return the arguments of `generate` for a sampling."""
    pad = tokenizer.pad_token_id
    settings: dict[str, Any] = {
        "max_new_tokens": sampling.max_tokens,
        "do_sample": sampling.temperature > 0,
        "pad_token_id": tokenizer.eos_token_id if pad is None else pad,
    }
    if sampling.temperature > 0:
        settings |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
        settings |= {"top_k": sampling.top_k or 0}
    if sampling.stop:
        settings |= {"stop_strings": list(sampling.stop), "tokenizer": tokenizer}
    return settings


def _completion(
    written: Tensor, sampling: Sampling, source: str, tokenizer: Any, prompt: int
) -> Completion:
    text = _text(written, tokenizer)
    ends = [text.find(each) for each in sampling.stop if each in text]
    ended = bool(ends) or len(written) < sampling.max_tokens
    return Completion(
        text=text[: min(ends)] if ends else text,
        finish_reason="stop" if ended else "length",
        model=source,
        input_tokens=prompt,
        output_tokens=len(written),
    )


def _text(written: Tensor, tokenizer: Any) -> str:
    """Return what was written, with its special tokens only where they mark thoughts."""
    marked = str(tokenizer.decode(written, skip_special_tokens=False))
    if not holds_thoughts(marked):
        return str(tokenizer.decode(written, skip_special_tokens=True))
    for token in (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token):
        marked = marked.replace(token, "") if token else marked
    return marked
