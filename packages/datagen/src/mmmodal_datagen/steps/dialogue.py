"""`dialogue`: a language model writes both sides of a dialogue about a medium (paper §2)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import (
    ChatTurn,
    Piece,
    Rejected,
    Row,
    RowContext,
    RowGenerator,
    Sampling,
    Turn,
)
from mmmodal_datagen.prompts.answers import ask_until_fit
from mmmodal_datagen.prompts.prompt import (
    History,
    Style,
    described,
    format_prompt,
    format_user,
)
from mmmodal_datagen.texts.scripts import length_of

__all__ = ["Dialogue", "DialogueOptions"]


class DialogueOptions(Config):
    """The length of a dialogue, and how its turns are asked for."""

    turns: int = Field(3, ge=1)
    """Pairs of question and answer, including the first question."""

    prompt: Style = "raw"
    """"raw": continues Mistral's template as the paper does, with a completion endpoint. "chat":
    swaps the roles for the user's turns, with any endpoint."""

    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, top_k=50, max_tokens=4096)
    attempts: int = Field(3, ge=1)
    """How often a turn is asked for until it is complete and has no template tags."""

    longest_question: int = Field(1000, ge=1)
    """The maximum length of a question, in Latin letters that say as much."""

    user_prompt: str = (
        "You are talking with an assistant about the text below. Write your next question to it: "
        "one question, in your own words, and nothing else."
    )
    """The system prompt with which a chat model writes the user's turns."""


class Dialogue(RowGenerator):
    """Answer a row's question, then ask and answer further ones with the conversation as context.

    A row has a medium with a description, and one turn: the first question. The description
    precedes the first question in every prompt, and is not part of the new dialogue.
    """

    name: ClassVar[str] = "dialogue"
    version: ClassVar[str] = "2"
    needs: ClassVar[tuple[str, ...]] = ("language_model",)
    Options: ClassVar[type[Config]] = DialogueOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"prompt": "raw"},
        "chat": {"prompt": "chat"},
    }
    options: DialogueOptions

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return the row with all turns of the dialogue."""
        description, question = _beginning(row)
        history: list[tuple[str, str]] = []
        said: list[tuple[str, str]] = []
        for number in range(self.options.turns):
            if number:
                question = await self._question(history, context)
            asked = question if number else f"{description}\n{question}"
            answer = await self._answer(asked, history, context)
            history.append((asked, answer))
            said.append((question, answer))
        return [row.child(kind=_kind(row), turns=_turns(row, said), synthetic=True)]

    async def _question(self, history: History, context: RowContext) -> str:
        if self.options.prompt == "raw":
            stop = ("\n", "[/INST]", "</s>")
            sampling = self.options.sampling.model_copy(update={"stop": stop})
            ask = functools.partial(context.complete, format_user(history), sampling)
        else:
            turns = _swapped(history, self.options.user_prompt)
            ask = functools.partial(context.chat, turns, self.options.sampling)
        return await ask_until_fit(ask, self.options.attempts, check=self._too_long)

    async def _answer(self, asked: str, history: History, context: RowContext) -> str:
        sampling = self.options.sampling
        if self.options.prompt == "raw":
            sampling = sampling.model_copy(update={"stop": ("</s>", "[INST]")})
            ask = functools.partial(context.complete, format_prompt(asked, history), sampling)
        else:
            ask = functools.partial(context.chat, _straight(asked, history), sampling)
        return await ask_until_fit(ask, self.options.attempts)

    def _too_long(self, question: str) -> str:
        return "question too long" if length_of(question) > self.options.longest_question else ""


def _beginning(row: Row) -> tuple[str, str]:
    """Return the descriptions of a row's media, and its question."""
    description = described(row)
    if [turn.role for turn in row.turns] != ["user"]:
        raise Rejected("no question", f"the row has {len(row.turns)} turns")
    question = " ".join(piece.text for piece in row.turns[0].content if piece.text).strip()
    if not question:
        raise Rejected("no question", "it is empty")
    return description, question


def _straight(asked: str, history: History) -> list[ChatTurn]:
    turns = []
    for user, assistant in history:
        turns += [ChatTurn(role="user", content=user)]
        turns += [ChatTurn(role="assistant", content=assistant)]
    return [*turns, ChatTurn(role="user", content=asked)]


def _swapped(history: History, prompt: str) -> list[ChatTurn]:
    """Return a conversation with swapped roles: the model's answers are the user's messages."""
    (first, answer), *rest = history
    turns = [ChatTurn(role="system", content=f"{prompt}\n\n{first}")]
    turns += [ChatTurn(role="user", content=answer)]
    for user, assistant in rest:
        turns += [ChatTurn(role="assistant", content=user)]
        turns += [ChatTurn(role="user", content=assistant)]
    return turns


def _kind(row: Row) -> str:
    kinds = {medium.kind for medium in row.media}
    return "visual_qa" if kinds == {"image"} else "audio_qa"


def _turns(row: Row, said: History) -> tuple[Turn, ...]:
    """Return the turns of a dialogue; its media precede the first question."""
    shown = tuple(Piece(type=medium.kind, media=index) for index, medium in enumerate(row.media))
    turns = []
    for number, (question, answer) in enumerate(said):
        media = () if number else shown
        turns.append(Turn(role="user", content=(*media, Piece(type="text", text=question))))
        turns.append(Turn(role="assistant", content=(Piece(type="text", text=answer),)))
    return tuple(turns)
