"""A conversation of several turns that computes each token and each medium once."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache
from transformers.generation.streamers import BaseStreamer

from mmmodal.contracts.record import Message
from mmmodal.conversation.rendering import Rendered
from mmmodal.errors import RecordError
from mmmodal.samples.transcript import Content, Transcript

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["Chat"]

BYTE = re.compile("<0x[0-9A-F]{2}>")
"""How sentencepiece's tokenizers write a token of one byte."""


class Chat:
    """Talk to a composed model; earlier turns stay in the key-value cache.

    Example:
        chat = mmmodal.Chat(mmmodal.load("chatty"))
        chat.say("What is related between image 1 and image 2?", images=["a.png", "b.png"])
    """

    def __init__(
        self,
        model: MMModalForConditionalGeneration,
        *,
        system: str | None = None,
        root: Path | None = None,
        **generation: Any,
    ) -> None:
        """Begin a conversation.

        Args:
            model: a model with its processor, as `mmmodal.load` returns.
            system: what the model is told before the first turn.
            root: where relative media paths begin; the working folder by default. Media outside
                of a given root are refused.
            generation: transformers' generation settings (`max_new_tokens`, `temperature` …).
        """
        self.model = model
        self.processor = model.processor
        self.system = system
        self.root = root
        self.generation = {"max_new_tokens": 512, "do_sample": False, **generation}
        self._context = model.config.positions
        self.cut_short = False
        """Whether the last answer reached `max_new_tokens` or the end of the context."""

        self.reset()

    def reset(self) -> None:
        """Forget all turns."""
        preparer = self.processor.preparer
        self._transcript = Transcript(preparer, system=self.system, root=self.root)
        self._cache: DynamicCache | None = None
        self._cached_ids: list[int] = []

    @property
    def messages(self) -> list[Message]:
        """What was said so far, the oldest first."""
        return self._transcript.messages

    def say(
        self, content: Content, *, stream: Callable[[str], Any] | None = None, **media: Any
    ) -> str:
        """Say something, with media, and return the answer.

        Where the conversation outgrows the model's context, its oldest turns are left out of what
        the model reads, and a warning says so; `messages` keeps them.

        Args:
            content: a text, or texts and media parts in the order in which they are to be read.
            stream: called with each piece of the answer as it comes.
            media: items before the text, by modality or its plural: `images=[…]`, `audio=[…]`.

        Raises:
            RenderError: nothing was said, or this turn alone does not fit the context.
            MediaError: a medium cannot be read. The conversation is as before in any case.
        """
        kept = len(self.messages), len(self._transcript.media)
        try:
            self._transcript.hear(content, media)
            answer = self._answer(stream)
        except BaseException:
            # The turn did not happen: a later one must not build on half of it.
            self._transcript.forget(*kept)
            self._cache, self._cached_ids = None, []
            raise
        self._transcript.answer(answer)
        return answer

    def save(self, path: str | Path) -> None:
        """Write the conversation as a record, one JSON line; media by their path from there.

        Raises:
            RecordError: nothing was said yet, a medium came from no file, or one lies outside of
                the target's folder, where no loader would look for it.
        """
        if not any(message.role == "assistant" for message in self.messages):
            raise RecordError(str(path), "there is no answer to save yet")
        said = zip(self._transcript.media, self._transcript.origins, strict=True)
        media = [
            {"kind": medium.modality, "uri": self._uri(origin, Path(path))}
            for medium, origin in said
        ]
        messages = [message.model_dump(exclude_none=True) for message in self.messages]
        record = {"id": Path(path).stem, "messages": messages, "media": media}
        text = json.dumps(record, ensure_ascii=False) + "\n"
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise RecordError(str(path), f"cannot be written ({error.strerror})") from None

    def _uri(self, origin: str | None, target: Path) -> str:
        if origin is None:
            raise RecordError(str(target), "a medium was given as an object; give files to save")
        if origin.startswith("data:"):
            return origin
        medium = (self.root or Path()) / origin
        uri = os.path.relpath(medium.resolve(), target.parent.resolve())
        if uri.startswith(os.pardir):
            raise RecordError(
                str(target), f"{origin} lies outside of its folder; save to a folder that holds it"
            )
        return Path(uri).as_posix()

    def _answer(self, stream: Callable[[str], Any] | None) -> str:
        rendered = self._prompt()
        start = self._reusable(rendered.input_ids)
        room = self._context - len(rendered.input_ids)
        longest = min(self.generation["max_new_tokens"], room)
        if self._is_recomputed(start, len(rendered.input_ids) + longest):
            self._cache, start = None, 0
        output = self.model.generate(
            input_ids=torch.tensor([rendered.input_ids], device=self.model.device),
            attention_mask=torch.ones(1, len(rendered.input_ids), device=self.model.device).long(),
            past_key_values=self._cache,
            streamer=_Stream(self.processor.tokenizer, stream) if stream else None,
            return_dict_in_generate=True,
            **self._new_media(rendered, start),
            **{**self.generation, "max_new_tokens": longest},
        )
        sequence = output.sequences[0].tolist()
        ends: Any = self.model.generation_config.eos_token_id
        self.cut_short = sequence[-1] not in ends
        several = len(output.sequences) > 1 or self.generation.get("num_beams", 1) > 1
        # After a beam search the cache holds the beams that go on, not the answer that was taken.
        self._cache = None if several else output.past_key_values
        self._cached_ids = sequence[: self._cache.get_seq_length()] if self._cache else []
        answer: str = self.processor.tokenizer.decode(
            sequence[len(rendered.input_ids) :], skip_special_tokens=True
        )
        return answer.strip()

    def _prompt(self) -> Rendered:
        context = self._context
        room = min(self.generation["max_new_tokens"], context // 4)
        allowed_by = f"the model's context of {context}"
        fitting = self._transcript.prompt(context - 1, allowed_by, room)  # one to answer with
        if fitting.dropped:
            lost = f"{fitting.told()} to fit the model's context of {context}"
            warnings.warn(lost, stacklevel=4)
        return fitting.rendered

    def _reusable(self, ids: list[int]) -> int:
        """Keep of the cache what the new ids begin with, and return how many that are."""
        same = 0
        while (
            same < min(len(ids) - 1, len(self._cached_ids)) and ids[same] == self._cached_ids[same]
        ):
            same += 1
        markers = self.processor.preparer.markers.values()
        inside = {id_ for marker in markers for id_ in (marker.slot, marker.separator)}
        while same and ids[same] in inside:  # never from the middle of a medium
            same -= 1
        if self._cache is None or same == 0:
            self._cache = None
            return 0
        surplus = self._cache.get_seq_length() - same
        if surplus and any(getattr(layer, "is_sliding", False) for layer in self._cache.layers):
            self._cache = None  # a sliding window has forgotten what it would go back to
            return 0
        if surplus:
            self._cache.crop(-surplus)
        return same

    def _is_recomputed(self, start: int, end: int) -> bool:
        """Tell whether the language model discards its cache between two lengths.

        Phi-3 does, where its long positions begin; what it then reads again are all media.
        """
        config = self.model.config.text_config
        point = getattr(config, "original_max_position_embeddings", None)
        return point is not None and start <= point < end

    def _new_media(self, rendered: Rendered, start: int) -> dict[str, Any]:
        """Return the tensors of the media whose slots are not among the first `start` tokens."""
        preparer = self.processor.preparer
        slots = {marker.slot for marker in preparer.markers.values()}
        seen = sum(id_ in slots for id_ in rendered.input_ids[:start])
        shown = [self._transcript.media[index] for index in rendered.media]
        while seen:
            seen -= shown.pop(0).slots
        return preparer.collate_media(shown)


class _Stream(BaseStreamer):
    """Pass on text as soon as later tokens cannot change it."""

    def __init__(self, tokenizer: Any, emit: Callable[[str], Any]) -> None:
        self._tokenizer = tokenizer
        self._emit = emit
        self._ids: list[int] = []
        self._shown = 0
        self._past_prompt = False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt first, then token after token."""
        if not self._past_prompt:
            self._past_prompt = True
            return
        self._ids += value.reshape(-1).tolist()
        text = self._text()
        if not text.endswith("\ufffd") and not self._ends_in_a_byte():  # half of a character
            self._flush(text)

    def end(self) -> None:
        """Pass on the rest."""
        self._flush(self._text())

    def _ends_in_a_byte(self) -> bool:
        """Tell whether the last token is one byte, which the next one can make invalid."""
        token = self._tokenizer.convert_ids_to_tokens(self._ids[-1])
        return BYTE.fullmatch(str(token)) is not None

    def _text(self) -> str:
        text: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        return text.lstrip()

    def _flush(self, text: str) -> None:
        if len(text) > self._shown:
            self._emit(text[self._shown :])
            self._shown = len(text)
