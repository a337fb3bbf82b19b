"""`visual-qa`: a dialogue about an image from its caption or metadata record (paper §3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Piece, Rejected, Row, RowContext, RowGenerator, Sampling, Turn
from mmmodal_datagen.prompts.answers import ask_for, speaks_of
from mmmodal_datagen.prompts.prompt import Style, asking
from mmmodal_datagen.prompts.wording import Wording
from mmmodal_datagen.steps.visual_qa.templates import Exchange, Template, fields_of, written

__all__ = ["VisualQA", "VisualQAOptions"]

LANGUAGES = {"en": "English", "ms": "Malay"}

CAPTION = Template(
    exchanges=(
        Exchange(
            ask=(
                Wording(en="What does the picture show?"),
                Wording(en="Describe this image."),
                Wording(en="What do you see in this photo?"),
            ),
            answer=(Wording(en="{description}"),),
        ),
    )
)
"""The English caption is the answer; `translate` adds the Malay."""

MOTORCYCLE = Template(
    exchanges=(
        Exchange(ask=(Wording(ms="Ini model apa?"),), answer=(Wording(ms="{description}"),)),
        Exchange(
            ask=(Wording(ms="apa spesifikasi moto tu?"),), answer=(Wording(ms="{specification}"),)
        ),
    )
)
"""The paper's printed example: the title of a page about a motorcycle, and its table."""

TASK = (
    "You write what a person and an assistant say about a picture. Below is what is known about "
    "it; the person does not know that, and sees the picture. Write {exchanges} questions, each "
    "with the assistant's answer, in {language}. Take nothing into an answer that is not in what "
    "is known. Speak of the picture, never of its description. Write JSON of this form and "
    'nothing else: {"dialogue": [{"question": "…", "answer": "…"}]}'
)


class VisualQAOptions(Config):
    """The source of the dialogue: templates or a language model."""

    by: Literal["template", "language_model"] = "template"
    """template: `templates`, filled with the fields of the image's record. language_model: a model
    writes the dialogue from these fields."""

    templates: tuple[Template, ...] = Field((CAPTION,), min_length=1)
    """One is drawn of those for which the record has all fields."""

    exchanges: int = Field(3, ge=1)
    """Pairs of question and answer that the model writes."""

    language: Literal["en", "ms"] = "en"
    """The language that the model writes in."""

    prompt: Style = "chat"
    """"raw": Mistral's template, for a completion endpoint. "chat": any endpoint."""

    task: str = TASK
    """The system message; the prompt is what is known about the image."""

    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=2048)
    attempts: int = Field(3, ge=1)
    """How often an answer is asked for until it can be used."""

    unsaid: tuple[str, ...] = ("caption", "metadata", "the description", "kapsyen")
    """Words in texts that refer to the description instead of the image."""


# The schema of the next two classes, with their names, is part of recorded requests.
class _Said(Config):
    question: str
    answer: str


class _Dialogue(Config):
    dialogue: tuple[_Said, ...]


class VisualQA(RowGenerator):
    """Make a dialogue about an image from its description and record."""

    name: ClassVar[str] = "visual-qa"
    needs: ClassVar[tuple[str, ...]] = ("language_model",)
    Options: ClassVar[type[Config]] = VisualQAOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"by": "template", "templates": (MOTORCYCLE,)},
        "language-model": {"by": "language_model"},
    }
    options: VisualQAOptions

    def models(self) -> tuple[str, ...]:
        """Return the language model, if it writes the dialogue."""
        return self.needs if self.options.by == "language_model" else ()

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return the row of the dialogue."""
        if [medium.kind for medium in row.media] != ["image"]:
            raise Rejected("not one image", f"it has {len(row.media)} media")
        if row.turns:
            raise Rejected("has turns already", f"{len(row.turns)}")
        fields = fields_of(row.media[0])
        by_template = self.options.by == "template"
        turns = self._filled(fields, context) if by_template else await self._asked(fields, context)
        shown = Piece(type="image", media=0)
        first = turns[0].model_copy(update={"content": (shown, *turns[0].content)})
        written_by = row.synthetic or not by_template
        return [row.child(kind="visual_qa", turns=(first, *turns[1:]), synthetic=written_by)]

    def _filled(self, fields: Mapping[str, Any], context: RowContext) -> list[Turn]:
        missing = [template.missing(fields) for template in self.options.templates]
        fitting = [
            template
            for template, lacks in zip(self.options.templates, missing, strict=True)
            if not lacks
        ]
        if not fitting:
            names = " and ".join(map(repr, min((len(names), names) for names in missing)[1]))
            known = ", ".join(sorted(fields)) or "nothing"
            raise Rejected(f"no field {names}", f"what is known of the image: {known}")
        chance = context.chance("template")
        return chance.choice(fitting).turns(fields, chance)

    async def _asked(self, fields: Mapping[str, Any], context: RowContext) -> list[Turn]:
        if not fields:
            raise Rejected("no description", "nothing is known about the image")
        chosen = self.options
        task = chosen.task.replace("{exchanges}", str(chosen.exchanges))
        task = task.replace("{language}", LANGUAGES[chosen.language])
        schema = _Dialogue.model_json_schema()
        sampling = chosen.sampling.model_copy(update={"json_schema": schema})
        ask = asking(context, chosen.prompt, written(fields), sampling, system=task)
        made = await ask_for(_Dialogue, ask, chosen.attempts, check=self._problem)
        return [
            Turn(role=role, content=(Piece(type="text", text=text, lang=chosen.language),))
            for said in made.dialogue
            for role, text in (("user", said.question.strip()), ("assistant", said.answer.strip()))
        ]

    def _problem(self, made: _Dialogue) -> str:
        texts = [text for said in made.dialogue for text in (said.question, said.answer)]
        if len(made.dialogue) != self.options.exchanges:
            return "another number of questions"
        if not all(text.strip() for text in texts):
            return "empty answer"
        if any(speaks_of(text, self.options.unsaid) for text in texts):
            return "speaks of the description"
        return ""
