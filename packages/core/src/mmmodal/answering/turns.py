"""A dialogue that is being asked: its history, its next prompt, and its answers so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmmodal.answering.dialogues import Answer, Dialogue
from mmmodal.answering.media import BatchMedia, Content
from mmmodal.answering.past import Past
from mmmodal.contracts.record import ContentPart, Message
from mmmodal.errors import MMModalError, RenderError
from mmmodal.samples.preparer import Preparer
from mmmodal.samples.transcript import Transcript

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AskedDialogue", "Turn"]


@dataclass(frozen=True)
class Turn:
    """A prompt that waits for its answer."""

    ids: list[int]
    media: list[tuple[str, Tensor]]
    """The modality and the features [slots, D] of each medium, in the order of the slots."""

    left_out: int
    """The number of oldest turns that are not in it."""

    choices: list[list[int]]
    """The ids of each choice as the answer."""

    past: Past
    """What the model has read of the turns before."""

    is_last: bool
    """Whether no other turn of its dialogue follows."""


class AskedDialogue:
    """A dialogue between its turns."""

    def __init__(
        self,
        dialogue: Dialogue,
        preparer: Preparer,
        media: BatchMedia,
        contents: Sequence[Content | MMModalError],
    ) -> None:
        """Begin with the first message.

        Args:
            dialogue: what is asked.
            preparer: the preparer of the model.
            media: the media of the batch, which are encoded before the first turn.
            contents: the content of each medium of the record, or why it cannot be read.
        """
        self._dialogue, self._preparer = dialogue, preparer
        self._media, self._contents = media, contents
        self._transcript = Transcript(preparer, root=dialogue.root)
        self._unheard = deque(dialogue.record.messages)
        self._shown: list[Content] = []
        self._past = Past()
        self._unreadable: MMModalError | None = None
        self.answers: list[Answer] = []

    @property
    def is_going(self) -> bool:
        """Whether a turn waits for its answer."""
        return len(self.answers) < self._dialogue.turns

    def next_turn(self, context: int, max_new_tokens: int) -> Turn:
        """Return the prompt of the next turn.

        Args:
            context: the maximum number of tokens of prompt and answer.
            max_new_tokens: the maximum length of an answer.

        Raises:
            RenderError: it cannot be rendered, or exceeds the context, alone or with a choice.
            MMModalError: a medium of it, or of its history, cannot be read.
        """
        choices = self._dialogue.choices.get(len(self.answers), ())
        self._hear()
        if self._unreadable is not None:
            raise self._unreadable
        lengths = [len(self._preparer.tokenizer.tokenize(choice)) for choice in choices]
        prompt = self._transcript.prompt(context, max(max_new_tokens, *lengths, 0))
        ids, shown = prompt.rendered.input_ids, [self._shown[i] for i in prompt.rendered.media]
        answers = [self._transcript.answer_ids(prompt, choice) for choice in choices]
        _check_room(context - len(ids), choices, answers)
        media = [(content[0], self._media.encoded[content]) for content in shown]
        is_last = len(self.answers) + 1 == self._dialogue.turns
        return Turn(ids, media, prompt.turns, answers, self._past, is_last)

    def answer(self, answer: Answer, past: Past) -> None:
        """Take the answer to the last prompt, and what the model has read for it."""
        self._past = past
        self.answers.append(answer)
        if self._dialogue.history == "own":
            self._transcript.answer(answer.text)

    def fail(self, error: MMModalError) -> None:
        """Take the error of the last prompt; turns that would follow the own answer have it too."""
        following = self._dialogue.turns - len(self.answers)
        failed = following if self._dialogue.history == "own" else 1
        self.answers += [Answer("", is_whole=False, tokens=0, error=error)] * failed

    def _hear(self) -> None:
        """Add the messages up to the next one of the user."""
        role = None
        while role != "user":
            message = self._unheard.popleft()
            role = message.role
            if role != "assistant" or self._dialogue.history == "gold":
                self._add(message)

    def _add(self, message: Message) -> None:
        for part in message.content:
            found = None if part.media is None else self._contents[part.media]
            if isinstance(found, MMModalError):
                self._unreadable = self._unreadable or found
        if self._unreadable is None:
            content = tuple(map(self._placed, message.content))
            self._transcript.add(Message(role=message.role, content=content))

    def _placed(self, part: ContentPart) -> ContentPart:
        """Return a part that refers to its medium by the order in which media are heard."""
        if part.media is None:
            return part
        content = self._contents[part.media]
        assert not isinstance(content, MMModalError), content
        self._shown.append(content)
        self._transcript.media.append(self._media.prepared[content])
        return ContentPart(type=part.type, media=len(self._shown) - 1)


def _check_room(room: int, choices: Sequence[str], answers: Sequence[Sequence[int]]) -> None:
    """Raise a RenderError if a choice exceeds the room for an answer."""
    for choice, ids in zip(choices, answers, strict=True):
        if len(ids) > room:
            raise RenderError(
                f"the choice {choice!r:.80} takes {len(ids)} tokens, but the model's context has "
                f"{room} left behind this turn; shorten the turn or its choices"
            )
