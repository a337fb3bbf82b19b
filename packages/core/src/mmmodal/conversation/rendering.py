"""From messages to token ids, labels and slots, through the backbone's own chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError

from mmmodal.conversation.layout import Layout, MarkerIds
from mmmodal.conversation.records import Message, Part
from mmmodal.conversation.spacing import spaced
from mmmodal.conversation.tokens import Encoded, MarkupTokenizer
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
                f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template; "
                "give one, a Jinja text, with --chat-template FILE or `chat_template=`"
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
        kinds = _media_kinds(messages)
        contents = [self._content(message) for message in messages]
        text = self._apply_template(messages, contents, add_generation_prompt)
        order = self._tokens.media_order(text)
        wanted = [
            part.media for message in messages for part in message.content if part.text is None
        ]
        if order != wanted:
            raise RenderError(
                "the chat template leaves out or reorders media; it must show every message once"
            )
        spans = self._supervised(messages, contents, text, add_generation_prompt)
        encoded = self._tokens.encode(text)
        return self._expand(
            encoded, spans, [(kinds[index], layouts[index], index) for index in order]
        )

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
        """Return the ids that end an assistant turn, for generation to stop at."""
        probe = [_text_message("user", "a"), _text_message("assistant", "b")]
        rendered = self.render(probe)
        supervised = [label for label in rendered.labels if label != IGNORE]
        return [supervised[-1]]

    def _content(self, message: Message) -> str:
        parts = spaced(message.content) if self._spaced else message.content
        return "".join(self._part(message, part) for part in _joined(parts))

    def _part(self, message: Message, part: Part) -> str:
        if part.text is not None:
            return self._tokens.escape(part.text)
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
        chat = [
            {"role": message.role, "content": content}
            for message, content in zip(messages, contents, strict=True)
        ]
        try:
            text: Any = self.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except TemplateError as error:
            roles = ", ".join(message.role for message in messages)
            raise RenderError(f"the chat template refuses these turns ({roles}): {error}") from None
        return str(text)

    def _supervised(
        self,
        messages: Sequence[Message],
        contents: Sequence[str],
        text: str,
        add_generation_prompt: bool,
    ) -> list[tuple[int, int]]:
        """Find where the assistant speaks, in characters of `text`, turn ends included.

        The template is applied once more with every assistant turn replaced by a placeholder:
        what it writes around the placeholders then says where each turn begins and ends in `text`,
        also where the template trims a turn.
        """
        spoken = [i for i, message in enumerate(messages) if message.role == "assistant"]
        if not spoken:
            return []
        masked = [
            self._tokens.placeholder(i) if i in spoken else content
            for i, content in enumerate(contents)
        ]
        around = self._tokens.split_at_placeholders(
            self._apply_template(messages, masked, add_generation_prompt)
        )
        if len(around) != len(spoken) + 1 or not text.startswith(around[0]):
            raise RenderError("the chat template rewrites assistant turns; supervision is unclear")
        spans = []
        position = len(around[0])
        for index, following in zip(spoken, around[1:], strict=True):
            end = _turn_end(text, position, contents[index], following)
            spans.append((position, self._after_turn_end(text, end, following)))
            position = end + len(following)
        if position != len(text):
            raise RenderError("the chat template rewrites assistant turns; supervision is unclear")
        return spans

    def _after_turn_end(self, text: str, end: int, following: str) -> int:
        match = self._tokens.find_added_token(text, end)
        if match is None or match.end() > end + len(following):
            raise RenderError(
                "the chat template ends an assistant turn with no special token, so the model "
                "could never learn to stop; give a template that writes one (such as eos_token)"
            )
        return match.end()

    def _expand(
        self,
        encoded: Encoded,
        spans: Sequence[tuple[int, int]],
        media: Sequence[tuple[str, Layout, int]],
    ) -> Rendered:
        ids: list[int] = []
        labels: list[int] = []
        upcoming = iter(media)
        turn = 0  # of the supervised ones: the first that ends behind this token
        for id_, (start, end) in zip(encoded.ids, encoded.spans, strict=True):
            if id_ == MarkupTokenizer.MEDIUM:
                kind, layout, _ = next(upcoming)
                run = self.markers[kind].expand(layout)
                ids += run
                labels += [IGNORE] * len(run)
                continue
            ids.append(id_)
            # A token that straddles the border carries the turn's first letters: it is supervised.
            while turn < len(spans) and spans[turn][1] <= start:
                turn += 1
            spoken = turn < len(spans) and spans[turn][0] < max(end, start + 1)
            labels.append(id_ if spoken else IGNORE)
        return Rendered(ids, labels, [index for _, _, index in media])


def _turn_end(text: str, start: int, content: str, following: str) -> int:
    """Find where an assistant turn that begins at `start` ends, given what follows it."""
    for candidate in (content, content.strip(), content.rstrip(), content.lstrip()):
        if text.startswith(candidate + following, start):
            return start + len(candidate)
    end = text.find(following, start) if following else len(text)
    if end < 0:
        raise RenderError("the chat template rewrites assistant turns; supervision is unclear")
    return end


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Join neighbouring texts, so that no special token can form across their border unseen."""
    result: list[Part] = []
    for part in parts:
        if part.text is not None and result and result[-1].text is not None:
            result[-1] = Part(type="text", text=result[-1].text + part.text)
        else:
            result.append(part)
    return result


def _likeness(tokenizer: PreTrainedTokenizerBase, markers: Mapping[str, MarkerIds]) -> int | None:
    """Return the id of the token that stands first for a medium: its neighbours depend on it."""
    signs = [ids.slot if ids.begin is None else ids.begin for ids in markers.values()]
    return signs[0] if signs else None


def _media_kinds(messages: Sequence[Message]) -> dict[int, str]:
    return {
        part.media: part.type
        for message in messages
        for part in message.content
        if part.media is not None
    }


def _text_message(role: str, text: str) -> Message:
    return Message.model_validate({"role": role, "content": [{"type": "text", "text": text}]})
