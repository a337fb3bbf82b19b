"""From messages to token ids, labels and slots, through the backbone's own chat template."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError

from mmmodal.contracts.record import ContentPart, Message
from mmmodal.conversation.layout import Layout, MarkerIds, joined, spaced
from mmmodal.conversation.locating import TokenizedText
from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.conversation.turns import TurnFormat
from mmmodal.errors import RenderError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["IGNORE", "Rendered", "Renderer"]

IGNORE = -100
"""The label of a token that carries no loss."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model reads it."""

    input_ids: list[int]
    labels: list[int]
    """The ids of assistant tokens and their turn ends; `IGNORE` elsewhere."""

    media: list[int]
    """The index of each medium, in the order of the slots."""


class Renderer:
    """Render conversations for one tokenizer and its chat template."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, markers: Mapping[str, MarkerIds]
    ) -> None:
        if not tokenizer.chat_template:
            raise RenderError(
                f"the tokenizer of {_source(tokenizer)} has no chat template; give one, a Jinja "
                "text, with --chat-template FILE, or as chat_template.jinja in the model's folder"
            )
        self.tokenizer = tokenizer
        self.markers = dict(markers)
        self._tokens = MarkupTokenizer(tokenizer, as_token=_likeness(tokenizer, self.markers))
        self._spaced = any(marker.spaced for marker in self.markers.values())

    def render(
        self,
        messages: Sequence[Message],
        layouts: Sequence[Layout] = (),
        *,
        add_generation_prompt: bool = False,
    ) -> Rendered:
        """Turn a conversation into ids, labels and slots.

        Args:
            messages: the turns.
            layouts: the slots of each medium, by its index.
            add_generation_prompt: end where the assistant is to speak.

        Raises:
            RenderError: the template refuses the roles, drops a medium, or a turn end is missing.
        """
        contents = [self._content(message) for message in messages]
        text, spans = self._written(messages, contents, add_generation_prompt)
        media = self._shown(messages, text)
        anchored = bool(spans) and self._format.anchored
        ids, spoken = self._tokens.encode(text, spans, anchored=anchored)
        labels = [IGNORE] * len(ids)
        for answer in spoken:
            labels[answer] = ids[answer]
        return self._expanded(ids, labels, media, layouts)

    def prompt(
        self, messages: Sequence[Message], layouts: Sequence[Layout], before: TokenizedText
    ) -> tuple[Rendered, TokenizedText]:
        """Turn a conversation into the ids after which the assistant is to speak, without labels.

        Args:
            messages: the turns.
            layouts: the slots of each medium, by its index.
            before: a prompt of the same conversation; what both begin with is not tokenized again.

        Returns:
            What `render` would, and what to give as `before` next time.

        Raises:
            RenderError: the template refuses the roles, or drops a medium.
        """
        contents = [self._content(message) for message in messages]
        text = self._apply_template(messages, contents, add_generation_prompt=True)
        media = self._shown(messages, text)
        known = self._tokens.encode_after(before, text)
        rendered = self._expanded(known.ids, [IGNORE] * len(known.ids), media, layouts)
        return rendered, known

    def _shown(self, messages: Sequence[Message], text: str) -> list[tuple[int, str]]:
        """Return index and modality of the media of messages, which the template has written."""
        media = [
            (part.media, part.type)
            for message in messages
            for part in message.content
            if part.media is not None
        ]
        if self._tokens.media_order(text) != [index for index, _ in media]:
            raise RenderError(
                "the chat template leaves out or reorders media; it must show every message once"
            )
        return media

    def _expanded(
        self,
        ids: list[int],
        labels: list[int],
        media: Sequence[tuple[int, str]],
        layouts: Sequence[Layout],
    ) -> Rendered:
        """Put each medium's markers and slots where it stands."""
        all_ids: list[int] = []
        all_labels: list[int] = []
        position = 0
        for index, kind in media:
            run = self.markers[kind].expand(layouts[index])
            place = ids.index(MarkupTokenizer.MEDIUM, position)
            all_ids += [*ids[position:place], *run]
            all_labels += [*labels[position:place], *[IGNORE] * len(run)]
            position = place + 1
        order = [index for index, _ in media]
        return Rendered([*all_ids, *ids[position:]], [*all_labels, *labels[position:]], order)

    def text(
        self,
        messages: Sequence[Message],
        media: Sequence[str] = (),
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        """Return what the template writes, each medium as the text that `media` has for it."""
        contents = [self._content(message) for message in messages]
        rendered = self._apply_template(messages, contents, add_generation_prompt)
        return self._tokens.plain(rendered, media)

    def turn_end_ids(self) -> list[int]:
        """Return the ids that end an assistant turn, for generation to stop at.

        Raises:
            RenderError: the template ends it with no special token.
        """
        return [self._tokens.ids_by_text[self._format.end]]

    @functools.cached_property
    def _format(self) -> TurnFormat:
        try:
            return TurnFormat.of(self._write, self._tokens)
        except TemplateError as error:
            source = _source(self.tokenizer)
            raise RenderError(
                f"the chat template of {source} refuses a user and an assistant in turn ({error}); "
                "give another one with --chat-template FILE"
            ) from None

    @functools.cached_property
    def _spoken(self) -> frozenset[str]:
        """The tokens that an answer may hold: `<think>`, where the template knows of it.

        They are the ones that the template names and that decoding an answer shows, which is how
        a thought stays one when the conversation goes on. All others are text there too.
        """
        source = self.tokenizer.get_chat_template()
        never = {self._format.end, *self._marker_texts()}
        return frozenset(
            token.content
            for token in self._tokens.markup.values()
            if not token.special and token.content in source and token.content not in never
        )

    def _marker_texts(self) -> list[str]:
        ids = [id_ for markers in self.markers.values() for id_ in markers.all]
        return [self._tokens.markup[id_].content for id_ in ids]

    def _content(self, message: Message) -> str:
        parts = spaced(message.content) if self._spaced else message.content
        return "".join(self._part(message, part) for part in joined(parts))

    def _part(self, message: Message, part: ContentPart) -> str:
        if part.text is not None:
            allowed = self._spoken if message.role == "assistant" else ()
            return self._tokens.escape(part.text, allowed)
        if message.role == "assistant":
            raise RenderError(
                f"an assistant turn holds a medium ({part.type}); media belong into user turns, "
                "because the model is never trained to produce them"
            )
        if part.type not in self.markers:
            known = ", ".join(sorted(self.markers)) or "none"
            raise RenderError(f"this model takes no {part.type!r} (it takes: {known})")
        assert part.media is not None, part
        return self._tokens.medium(part.media)

    def _apply_template(
        self, messages: Sequence[Message], contents: Sequence[str], add_generation_prompt: bool
    ) -> str:
        chat = [(m.role, content) for m, content in zip(messages, contents, strict=True)]
        try:
            return self._write(chat, add_generation_prompt)
        except TemplateError as error:
            raise self._refusal(chat, error) from None

    def _write(self, chat: Sequence[tuple[str, str]], add_generation_prompt: bool) -> str:
        turns = [{"role": role, "content": content} for role, content in chat]
        text: Any = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return str(text)

    def _refusal(self, chat: Sequence[tuple[str, str]], error: TemplateError) -> RenderError:
        """Name the message at which the template begins to refuse."""
        number = len(chat)
        for count in range(1, len(chat)):
            try:
                self._write(chat[:count], False)
            except TemplateError as earlier:
                if str(earlier) == str(error):
                    number = count
                    break
        role = chat[number - 1][0]
        hint = "; say in the first user message what it says" if role == "system" else ""
        return RenderError(
            f"the chat template of {_source(self.tokenizer)} refuses the role {role!r} of message "
            f"{number} ({error}){hint}"
        )

    def _written(
        self, messages: Sequence[Message], contents: Sequence[str], add_generation_prompt: bool
    ) -> tuple[str, list[tuple[int, int]]]:
        """Apply the template, and find where the assistant speaks in what it writes."""
        text = self._apply_template(messages, contents, add_generation_prompt)
        try:
            return text, self._supervised(messages, contents, text, add_generation_prompt)
        except RenderError:
            # Many templates write the date: at midnight the two texts are of different days.
            text = self._apply_template(messages, contents, add_generation_prompt)
            return text, self._supervised(messages, contents, text, add_generation_prompt)

    def _supervised(
        self,
        messages: Sequence[Message],
        contents: Sequence[str],
        text: str,
        add_generation_prompt: bool,
    ) -> list[tuple[int, int]]:
        """Find where the assistant speaks, in characters of `text`, turn ends included.

        Where that cannot be told from `text` alone, the template is applied once more with every
        answer replaced by a placeholder: what it writes around the placeholders is in `text` too,
        also where it rewrites the answers.
        """
        count = sum(message.role == "assistant" for message in messages)
        if not count:
            return []
        told = self._format.answers_by_header(text, count, add_generation_prompt, self._tokens)
        if told is not None:
            return told
        masked = [
            self._tokens.placeholder(i) if message.role == "assistant" else content
            for i, (message, content) in enumerate(zip(messages, contents, strict=True))
        ]
        around = self._tokens.split_at_placeholders(
            self._apply_template(messages, masked, add_generation_prompt)
        )
        if len(around) != count + 1:
            raise RenderError("the chat template does not show every answer once")
        return self._format.answers(text, around, self._tokens)


def _source(tokenizer: PreTrainedTokenizerBase) -> str:
    return tokenizer.name_or_path or "this model"


def _likeness(tokenizer: PreTrainedTokenizerBase, markers: Mapping[str, MarkerIds]) -> int | None:
    """Return the id of the token that stands first for a medium: its neighbours depend on it."""
    signs = [ids.slot if ids.begin is None else ids.begin for ids in markers.values()]
    return signs[0] if signs else None
