"""A chat of several turns that computes each token and each medium once."""

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
from transformers.cache_utils import DynamicLayer
from transformers.generation.streamers import BaseStreamer

from mmmodal.contracts.record import Message
from mmmodal.conversation.rendering import Rendered
from mmmodal.errors import ConfigError, RecordError
from mmmodal.model.endings import Endings
from mmmodal.model.settings import answer_settings
from mmmodal.samples.transcript import Content, Transcript

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["Chat"]

BYTE = re.compile("<0x[0-9A-F]{2}>")
"""The form of a one-byte token in the vocabularies of sentencepiece."""


class Chat:
    """A conversation with a composed model; earlier turns stay in the key-value cache.

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
        """Begin an empty conversation.

        Args:
            model: a model with its processor, as `mmmodal.load` returns.
            system: the system message in front of the first turn.
            root: the folder of relative media paths; the working folder by default. If it is given,
                media outside of it are refused.
            generation: transformers' generation settings (`max_new_tokens`, `temperature`,
                `stop_strings` …). A setting of sampling implies `do_sample`; without one, and with
                a temperature of 0, the most probable token is selected.

        Raises:
            ConfigError: a setting is unknown, cannot act here, or has an impossible value.
        """
        self.model = model
        self.processor = model.processor
        self.system = system
        self.root = root
        self.settings = answer_settings(generation, model)
        settings = self.settings
        self._arguments = settings.arguments()
        self._endings = Endings.of(model, settings.eos_token_id, settings.stop_strings)
        self._context, self._recomputed_at = model.config.positions, model.config.recomputes_at
        self.cut_short = False
        """Whether the last answer reached `max_new_tokens`, `max_time` or the context's end."""

        self.reset()

    def reset(self) -> None:
        """Forget all turns."""
        preparer = self.processor.preparer
        self._transcript = Transcript(preparer, system=self.system, root=self.root)
        self._cache: DynamicCache | None = None
        self._cached_ids: list[int] = []

    @property
    def messages(self) -> list[Message]:
        """The messages so far, the oldest first."""
        return self._transcript.messages

    def say(
        self, content: Content, *, stream: Callable[[str], Any] | None = None, **media: Any
    ) -> str:
        """Add a user message, with media, and return the model's answer.

        If the conversation exceeds the model's context, its oldest turns are left out of the prompt
        with a warning; `messages` keeps them.

        Args:
            content: a text, or texts and media parts in their order.
            stream: a function called with each piece of the answer once it is generated.
            media: media in front of the text, by modality or its plural: `images=[…]`, `audio=[…]`;
                paths, data URIs, bytes, or objects such as Pillow images, arrays and
                `(samples, rate)`.

        Raises:
            RenderError: the message is empty, or this turn alone exceeds the context.
            MediaError: a medium cannot be read. After any error the conversation is unchanged.
            ConfigError: a stream is asked for, but the answers come from a beam search.
        """
        if stream and self.settings.num_beams > 1:
            raise ConfigError("stream", ["a beam search has no text before its end"])
        kept = len(self.messages), len(self._transcript.media)
        try:
            self._transcript.hear(content, media)
            answer = self._answer(stream)
        except BaseException:
            # Remove the whole turn: a later one must not follow half of it.
            self._transcript.forget(*kept)
            self._cache, self._cached_ids = None, []
            raise
        self._transcript.answer(answer)
        return answer

    def save(self, path: str | Path) -> None:
        """Write the conversation as a record, one JSON line, with media paths relative to the file.

        Raises:
            RecordError: there is no answer yet, a medium was not given as a file, or its file is
                outside of the folder of `path`, where loaders do not search.
        """
        if not any(message.role == "assistant" for message in self.messages):
            raise RecordError(
                str(path), "the conversation has no answer yet; save it after the first one"
            )
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
            raise RecordError(
                str(target), "a medium was given as an object; give media as files to save the chat"
            )
        if origin.lstrip()[:5].lower() == "data:":
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
        longest = min(self.settings.max_new_tokens, room)
        if self._is_recomputed(start, len(rendered.input_ids) + longest):
            self._cache, start = None, 0
        criteria = list(self.settings.stopping_criteria)
        if self.settings.stop_strings:
            criteria += self._endings.criteria(len(rendered.input_ids))
        output = self.model.generate(
            input_ids=torch.tensor([rendered.input_ids], device=self.model.device),
            attention_mask=torch.ones(1, len(rendered.input_ids), device=self.model.device).long(),
            past_key_values=self._cache,
            streamer=_Stream(self._endings, stream) if stream else None,
            stopping_criteria=criteria,
            return_dict_in_generate=True,
            **self._new_media(rendered, start),
            **{**self._arguments, "max_new_tokens": longest},
        )
        sequence = output.sequences[0].tolist()
        new = sequence[len(rendered.input_ids) :]
        answer, ended = self._endings.read(new)
        is_long = len(new) >= longest or self.settings.max_time is not None
        self.cut_short = is_long and not ended
        # After a beam search the cache holds the running beams, not the returned answer.
        self._cache = None if self.settings.num_beams > 1 else output.past_key_values
        self._cached_ids = sequence[: self._cache.get_seq_length()] if self._cache else []
        return answer

    def _prompt(self) -> Rendered:
        fitting = self._transcript.prompt(self._context, self.settings.max_new_tokens)
        if fitting.dropped:
            warning = f"{fitting.summary()} to fit the model's context of {self._context}"
            warnings.warn(warning, stacklevel=4)
        return fitting.rendered

    def _reusable(self, ids: list[int]) -> int:
        """Crop the cache to the common beginning of its ids and `ids`; return the length."""
        same = 0
        while (
            same < min(len(ids) - 1, len(self._cached_ids)) and ids[same] == self._cached_ids[same]
        ):
            same += 1
        markers = self.processor.preparer.markers.values()
        inside = {id_ for marker in markers for id_ in (marker.slot, marker.separator)}
        while same and ids[same] in inside:  # a medium is reused whole or not at all
            same -= 1
        if self._cache is None or same == 0:
            self._cache = None
            return 0
        surplus = self._cache.get_seq_length() - same
        if surplus and any(type(layer) is not DynamicLayer for layer in self._cache.layers):
            # A sliding window no longer holds the tokens before the surplus, and the state of a
            # recurrent layer cannot be taken back.
            self._cache = None
            return 0
        if surplus:
            self._cache.crop(-surplus)
        return same

    def _is_recomputed(self, start: int, end: int) -> bool:
        """Return whether the language model discards its cache between two lengths.

        It then needs all media again.
        """
        point = self._recomputed_at
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
    """Emit text as soon as later tokens cannot change it."""

    def __init__(self, endings: Endings, emit: Callable[[str], Any]) -> None:
        self._endings = endings
        self._emit = emit
        self._ids: list[int] = []
        self._shown = 0
        self._past_prompt = False

    def put(self, value: torch.Tensor) -> None:
        """Receive the prompt first, then token after token."""
        if not self._past_prompt:
            self._past_prompt = True
            return
        self._ids += value.reshape(-1).tolist()
        text = self._text()
        if not text.endswith("\ufffd") and not self._ends_in_a_byte():  # not half of a character
            self._flush(self._endings.certain(text))

    def end(self) -> None:
        """Emit the rest."""
        self._flush(self._endings.finished(self._text()))

    def _ends_in_a_byte(self) -> bool:
        """Return whether the last token is a single byte, which the next token can make invalid."""
        token = self._endings.tokenizer.convert_ids_to_tokens(self._ids[-1])
        return BYTE.fullmatch(str(token)) is not None

    def _text(self) -> str:
        return self._endings.text(self._endings.before_end(self._ids))

    def _flush(self, text: str) -> None:
        text = text.lstrip()
        if len(text) > self._shown:
            self._emit(text[self._shown :])
            self._shown = len(text)
