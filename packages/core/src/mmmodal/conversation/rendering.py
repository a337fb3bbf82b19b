"""Render messages to token ids, labels and slots, through the backbone's own chat template."""

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
"""The label of a token without loss."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as input of the model."""

    input_ids: list[int]
    labels: list[int]
    """The ids of assistant answers and their turn ends; `IGNORE` elsewhere."""

    media: list[int]
    """The index of each medium, in the order of the slots."""


class Renderer:
    """Render conversations for one tokenizer and its chat template."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        markers: Mapping[str, MarkerIds],
        *,
        settings: Mapping[str, Any] | None = None,
        tokens: MarkupTokenizer | None = None,
    ) -> None:
        """Prepare to render.

        Args:
            tokenizer: the tokenizer, with its chat template.
            markers: the ids of each modality's markers and slot.
            settings: another `chat_template`, `tools`, `documents`, and variables of the template.
            tokens: the tokenizer that keeps text and markup apart, if there is one already.

        Raises:
            RenderError: there is no chat template.
        """
        self._settings = dict(settings or {})
        if not (tokenizer.chat_template or self._settings.get("chat_template")):
            raise RenderError(
                f"the tokenizer of {_source(tokenizer)} has no chat template; give a Jinja file "
                "with --chat-template FILE, or as chat_template.jinja in the model's folder"
            )
        self.tokenizer = tokenizer
        self.markers = dict(markers)
        self._tokens = tokens or MarkupTokenizer(
            tokenizer, as_token=_likeness(tokenizer, self.markers)
        )
        self._spaced = any(marker.spaced for marker in self.markers.values())

    def variant(self, settings: Mapping[str, Any], kind: type[Renderer] | None = None) -> Renderer:
        """Return a renderer of the same tokens with other settings of the template."""
        made = kind or type(self)
        return made(self.tokenizer, self.markers, settings=settings, tokens=self._tokens)

    def render(
        self,
        messages: Sequence[Message],
        layouts: Sequence[Layout] = (),
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
    ) -> Rendered:
        """Return the ids, labels and media of a conversation.

        Args:
            messages: the turns.
            layouts: the slots of each medium, by its index.
            add_generation_prompt: end with the header of an assistant turn.
            continue_final_message: end with the last message's text, for the model to go on; no
                token has a label.

        Raises:
            RenderError: the template refuses a role, leaves out a medium, or writes no turn end.
        """
        contents = [self._content(message) for message in messages]
        spans: list[tuple[int, int]] = []
        if continue_final_message:
            text = self._continued(messages, contents)
        else:
            text, spans = self._written(messages, contents, add_generation_prompt)
        media = self._shown(messages, text)
        anchored = bool(spans) and self._is_anchored()
        ids, spoken = self._tokens.encode(text, spans, anchored=anchored)
        labels = [IGNORE] * len(ids)
        for answer in spoken:
            labels[answer] = ids[answer]
        return self._expanded(ids, labels, media, layouts)

    def prompt(
        self, messages: Sequence[Message], layouts: Sequence[Layout], before: TokenizedText
    ) -> tuple[Rendered, TokenizedText]:
        """Return the prompt for the assistant's next turn, without labels.

        Args:
            messages: the turns.
            layouts: the slots of each medium, by its index.
            before: an earlier prompt of the conversation; the common beginning keeps its ids.

        Returns:
            The rendered prompt, and the value of `before` for the next prompt.

        Raises:
            RenderError: the template refuses a role, or leaves out a medium.
        """
        contents = [self._content(message) for message in messages]
        text = self._apply_template(messages, contents, add_generation_prompt=True)
        media = self._shown(messages, text)
        known = self._tokens.encode_after(before, text)
        rendered = self._expanded(known.ids, [IGNORE] * len(known.ids), media, layouts)
        return rendered, known

    def _shown(self, messages: Sequence[Message], text: str) -> list[tuple[int, str]]:
        """Return index and modality of all media of messages; `text` must contain each once."""
        media = [
            (part.media, part.type)
            for message in messages
            for part in message.content
            if part.media is not None
        ]
        if self._tokens.media_order(text) != [index for index, _ in media]:
            raise RenderError(
                "the chat template leaves out or reorders media; it must write every message once"
            )
        return media

    def _expanded(
        self,
        ids: list[int],
        labels: list[int],
        media: Sequence[tuple[int, str]],
        layouts: Sequence[Layout],
    ) -> Rendered:
        """Replace each medium by its markers and slots."""
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
        continue_final_message: bool = False,
    ) -> str:
        """Return the text of the template, with each medium replaced by its text in `media`."""
        contents = [self._content(message) for message in messages]
        if continue_final_message:
            rendered = self._continued(messages, contents)
        else:
            rendered = self._apply_template(messages, contents, add_generation_prompt)
        self._shown(messages, rendered)
        return self._tokens.plain(rendered, media)

    def _continued(self, messages: Sequence[Message], contents: Sequence[str]) -> str:
        """Return the text of the template up to the end of the last message's content."""
        if not messages:
            raise RenderError("there is no message to continue")
        # A space after the end shows whether the template strips what a message ends with.
        end = self._tokens.placeholder(len(messages))
        open_ended = [*contents[:-1], f"{contents[-1]}{end} "]
        parts = self._apply_template(messages, open_ended, False).split(end)
        if len(parts) != 2:
            raise RenderError(
                "the chat template does not write the last message once, so it cannot be continued"
            )
        return parts[0] if parts[1].startswith(" ") else parts[0].rstrip()

    def _is_anchored(self) -> bool:
        """Return whether each answer has markup close before it."""
        return self._format.anchored

    @property
    def template(self) -> str:
        """The source of the chat template."""
        given = {key: self._settings.get(key) for key in ("chat_template", "tools")}
        return str(self.tokenizer.get_chat_template(**given))

    def turn_end_ids(self) -> list[int]:
        """Return the ids that end an assistant turn, at which generation stops.

        Raises:
            RenderError: the template ends a turn without a special token.
        """
        return [self._tokens.ids_by_text[self._format.end]]

    @functools.cached_property
    def _format(self) -> TurnFormat:
        try:
            return TurnFormat.of(self._write, self._tokens)
        except TemplateError as error:
            source = _source(self.tokenizer)
            raise RenderError(
                f"the chat template of {source} refuses a user turn followed by an assistant turn "
                f"({error}); give another template with --chat-template FILE"
            ) from None

    @functools.cached_property
    def _spoken(self) -> frozenset[str]:
        """The markup tokens that an answer may contain: `<think>`, if the template knows it.

        They are the tokens that the template names and that a decoded answer shows, so that an
        answer's thought keeps its tokens in later turns. All others are text in an answer too.
        """
        source = self.template
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
                f"an assistant turn holds a medium ({part.type}), which a model cannot produce; "
                "put media into user turns"
            )
        if part.type not in self.markers:
            known = ", ".join(sorted(self.markers)) or "none"
            raise RenderError(f"this model does not accept {part.type!r} (it accepts: {known})")
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
            turns, tokenize=False, add_generation_prompt=add_generation_prompt, **self._settings
        )
        return str(text)

    def _refusal(self, chat: Sequence[tuple[str, str]], error: TemplateError) -> RenderError:
        """Return an error that names the first message that the template refuses."""
        number = len(chat)
        for count in range(1, len(chat)):
            try:
                self._write(chat[:count], False)
            except TemplateError as earlier:
                if str(earlier) == str(error):
                    number = count
                    break
        role = chat[number - 1][0]
        hint = "; move its text into the first user message" if role == "system" else ""
        return RenderError(
            f"the chat template of {_source(self.tokenizer)} refuses the role {role!r} of message "
            f"{number} ({error}){hint}"
        )

    def _written(
        self, messages: Sequence[Message], contents: Sequence[str], add_generation_prompt: bool
    ) -> tuple[str, list[tuple[int, int]]]:
        """Return the text of the template, and the spans of the answers in it."""
        text = self._apply_template(messages, contents, add_generation_prompt)
        try:
            return text, self._supervised(messages, contents, text, add_generation_prompt)
        except RenderError:
            # Many templates write the date, which changes between the two calls at midnight.
            text = self._apply_template(messages, contents, add_generation_prompt)
            return text, self._supervised(messages, contents, text, add_generation_prompt)

    def _supervised(
        self,
        messages: Sequence[Message],
        contents: Sequence[str],
        text: str,
        add_generation_prompt: bool,
    ) -> list[tuple[int, int]]:
        """Return the spans of the answers in `text`, in characters, turn ends included.

        If `text` alone does not show them, the template is applied again with a placeholder for
        every answer: the text around the placeholders is in `text` too, even if the template
        changes the answers.
        """
        count = sum(message.role == "assistant" for message in messages)
        if not count:
            return []
        spans = self._format.answers_by_header(text, count, add_generation_prompt, self._tokens)
        if spans is not None:
            return spans
        masked = [
            self._tokens.placeholder(i) if message.role == "assistant" else content
            for i, (message, content) in enumerate(zip(messages, contents, strict=True))
        ]
        around = self._tokens.split_at_placeholders(
            self._apply_template(messages, masked, add_generation_prompt)
        )
        if len(around) != count + 1:
            raise RenderError(
                "the chat template does not write every answer once; give another one"
            )
        return self._format.answers(text, around, self._tokens)


def _source(tokenizer: PreTrainedTokenizerBase) -> str:
    return tokenizer.name_or_path or "this model"


def _likeness(tokenizer: PreTrainedTokenizerBase, markers: Mapping[str, MarkerIds]) -> int | None:
    """Return the id of a medium's first token; the tokens of the text beside it depend on that."""
    signs = [ids.slot if ids.begin is None else ids.begin for ids in markers.values()]
    return signs[0] if signs else None
