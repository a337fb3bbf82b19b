"""Render messages to token ids, labels and slots, through the backbone's own chat template."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError

from mmmodal.contracts.record import ContentPart, Message
from mmmodal.conversation.labelling import labelled
from mmmodal.conversation.layout import Layout, MarkerIds, joined, spaced
from mmmodal.conversation.locating import IGNORE, FoundSpan, TokenizedText
from mmmodal.conversation.template import looked_for, refusal
from mmmodal.conversation.thoughts import TAGS, Thoughts, without_thoughts
from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.conversation.training_text import Joiner, LearnedAnswers, TrainingText, Unlearned
from mmmodal.conversation.turns import Agreement, Chat, TurnFormat
from mmmodal.errors import RenderError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["IGNORE", "Rendered", "Renderer"]


@dataclass(frozen=True)
class Rendered:
    """A conversation as input of the model."""

    input_ids: list[int]
    labels: list[int]
    """The ids of assistant answers and their turn ends; `IGNORE` elsewhere."""

    media: list[int]
    """The index of each medium, in the order of the slots."""

    unlearned: tuple[Unlearned, ...] = ()
    """The answers without labels, as inference's prompt is not what stands in front of them."""


class Renderer:
    """Render conversations for one tokenizer and its chat template."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        markers: Mapping[str, MarkerIds],
        thoughts: Thoughts = "keep",
        answers: LearnedAnswers = "asked",
        *,
        settings: Mapping[str, Any] | None = None,
        tokens: MarkupTokenizer | None = None,
    ) -> None:
        """Read a tokenizer and its template.

        Args:
            tokenizer: the tokenizer with the chat template.
            markers: the ids of each modality's markers and slot.
            thoughts: whether the thoughts in answers are learned, or dropped before.
            answers: which answers are learned, where a template writes a finished conversation
                otherwise than the prompts that lead to it.
            settings: another `chat_template`, `tools`, `documents`, and variables of the template.
            tokens: the tokenizer that keeps text and markup apart, if there is one already.

        Raises:
            RenderError: there is no chat template, or no fast tokenizer.
        """
        self.tokenizer = tokenizer
        self._settings = dict(settings or {})
        if not (tokenizer.chat_template or self._settings.get("chat_template")):
            raise RenderError(
                f"the tokenizer of {self.origin} has no chat template; give a Jinja file "
                "with --chat-template FILE, or as chat_template.jinja in the model's folder"
            )
        self.markers = dict(markers)
        self.thoughts = thoughts
        self.answers = answers
        self._tokens = tokens or MarkupTokenizer(
            tokenizer, as_token=_likeness(tokenizer, self.markers)
        )
        self._spaced = any(marker.spaced for marker in self.markers.values())

    def variant(self, settings: Mapping[str, Any], kind: type[Renderer] | None = None) -> Renderer:
        """Return a renderer of the same tokens with other settings of the template."""
        made = kind or type(self)
        choices = (self.thoughts, self.answers)
        return made(self.tokenizer, self.markers, *choices, settings=settings, tokens=self._tokens)

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
        if continue_final_message:
            return self._without_labels(messages, self._continued(messages), layouts)
        if add_generation_prompt or all(message.role != "assistant" for message in messages):
            text = self._apply(self._chat(messages), add_generation_prompt)
            return self._without_labels(messages, text, layouts)
        written = self.training_text(messages)
        text, spans = written.text, written.spans
        media = self._shown(messages[: written.messages], text)
        ids, spoken = self._tokens.encode(text, spans, anchored=self._is_anchored())
        labels = [IGNORE] * len(ids)
        for found in spoken:
            labels[found.tokens] = ids[found.tokens]
        if self._is_exact(written, spoken):
            return self._expanded(ids, labels, media, layouts)
        shown = {index: f"[{kind}]" for index, kind in media}
        how: Any = {"end": self._format.end, "answers": self.answers, "media": shown}
        exact = labelled(written, ids, spoken, self._tokens, **how)
        rendered = self._expanded(exact.ids, exact.labels, media, layouts)
        return replace(rendered, unlearned=exact.unlearned)

    def _without_labels(
        self, messages: Sequence[Message], text: str, layouts: Sequence[Layout]
    ) -> Rendered:
        ids, _ = self._tokens.encode(text)
        media = self._shown(messages, text)
        return self._expanded(ids, [IGNORE] * len(ids), media, layouts)

    def training_text(self, messages: Sequence[Message]) -> TrainingText:
        """Return the text from which the answers of a conversation are learned.

        Raises:
            RenderError: the template refuses a role, or writes no turn end.
        """
        if self.thoughts == "drop":
            messages = [without_thoughts(message) for message in messages]
        chat = self._chat(messages)
        text = self._apply(chat)
        if self._agreement.holds(chat):
            try:
                spans = self._format.spans(self._apply, chat, text, self._tokens)
                return TrainingText(text, spans, len(chat))
            except RenderError:
                pass  # the template writes different texts around different answers
        joiner = Joiner(self._write, self._format, self._tokens, self.answers)
        try:
            return joiner.text_of(chat, text)
        except TemplateError as error:
            raise refusal(self.origin, self._write, chat, error) from None

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
        text = self._apply(self._chat(messages), add_generation_prompt=True)
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
        if continue_final_message:
            rendered = self._continued(messages)
        else:
            rendered = self._apply(self._chat(messages), add_generation_prompt)
        self._shown(messages, rendered)
        return self._tokens.plain(rendered, media)

    def _continued(self, messages: Sequence[Message]) -> str:
        """Return the text of the template up to the end of the last message's content."""
        if not messages:
            raise RenderError("there is no message to continue")
        # A space after the end shows whether the template strips what a message ends with.
        end = self._tokens.placeholder(len(messages))
        *before, (role, content) = self._chat(messages)
        parts = self._apply([*before, (role, f"{content}{end} ")]).split(end)
        if len(parts) != 2:
            raise RenderError(
                "the chat template does not write the last message once, so it cannot be continued"
            )
        return parts[0] if parts[1].startswith(" ") else parts[0].rstrip()

    def plain(self, text: str, media: Sequence[str] = ()) -> str:
        """Return a text of this renderer as a template alone writes it, media as in `text`."""
        return self._tokens.plain(text, media)

    def _is_anchored(self) -> bool:
        """Return whether each answer has markup close before it."""
        return self._format.anchored

    def _is_exact(self, written: TrainingText, spoken: Sequence[FoundSpan]) -> bool:
        """Return whether all answers have labels, and tokens of their own."""
        return not written.unlearned and all(found.exact for found in spoken)

    @property
    def template(self) -> str:
        """The source of the chat template."""
        given = {key: self._settings.get(key) for key in ("chat_template", "tools")}
        return str(self.tokenizer.get_chat_template(**given))

    @property
    def origin(self) -> str:
        """The name of the tokenizer, for errors and warnings."""
        return self.tokenizer.name_or_path or "this model"

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
            raise RenderError(
                f"the chat template of {self.origin} refuses a user turn followed by an "
                f"assistant turn ({error}); give another template with --chat-template FILE"
            ) from None

    @functools.cached_property
    def _agreement(self) -> Agreement:
        telling = looked_for(self.template)
        return Agreement(self._write, self._tokens, telling)

    @functools.cached_property
    def _spoken(self) -> frozenset[str]:
        """The markup tokens that an answer may contain: `<think>`, if the template knows it.

        They are the tokens that the template names and that a decoded answer shows, and both tags
        of its thoughts, so that an answer's thought keeps its tokens in later turns. All others are
        text in an answer too.
        """
        source = self.template
        tags = {tag for pair in TAGS if any(tag in source for tag in pair) for tag in pair}
        never = {self._format.end, *self._marker_texts()}
        return frozenset(
            token.content
            for token in self._tokens.markup.values()
            if token.content not in never
            and (token.content in tags or (not token.special and token.content in source))
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

    def _apply(self, chat: Chat, add_generation_prompt: bool = False) -> str:
        try:
            return self._write(chat, add_generation_prompt)
        except TemplateError as error:
            raise refusal(self.origin, self._write, chat, error) from None

    def _write(self, chat: Chat, add_generation_prompt: bool) -> str:
        turns = [{"role": role, "content": content} for role, content in chat]
        text: Any = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt, **self._settings
        )
        return str(text)

    def _chat(self, messages: Sequence[Message]) -> list[tuple[str, str]]:
        return [(message.role, self._content(message)) for message in messages]


def _likeness(tokenizer: PreTrainedTokenizerBase, markers: Mapping[str, MarkerIds]) -> int | None:
    """Return the id of a medium's first token; the tokens of the text beside it depend on that."""
    signs = [ids.slot if ids.begin is None else ids.begin for ids in markers.values()]
    return signs[0] if signs else None
