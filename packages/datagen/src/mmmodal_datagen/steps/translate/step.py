"""`translate`: the missing language of texts, Malay or English (paper §2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import (
    BackendError,
    Piece,
    Rejected,
    Row,
    RowContext,
    RowGenerator,
    Sampling,
)
from mmmodal_datagen.prompts.answers import ask_until_fit
from mmmodal_datagen.prompts.prompt import Style, asking
from mmmodal_datagen.steps.translate.lines import Checks, Line, lines_of, sentences_of
from mmmodal_datagen.texts.language import FEW_WORDS, language_of
from mmmodal_datagen.texts.words import count_words

__all__ = ["Translate", "TranslateOptions"]

LANGUAGES = {"en": "English", "ms": "Malay"}

INSTRUCTION = (
    "Translate the text below from {source} to {target}. Keep its lines, list markers, numbers, "
    "code and addresses as they are, write all numbers in digits that it has in digits, and write "
    "nothing but the translation.\n\n{text}"
)


class TranslateOptions(Config):
    """The kind of model that translates, and the checks of a translation."""

    by: Literal["translator", "language_model"] = "translator"
    """translator: a translation model, by lines. language_model: by texts."""

    source: Literal["detect", "en", "ms"] = "detect"
    """The language of texts without `lang`: detected, or always the same."""

    instruction: str = INSTRUCTION
    """The prompt for the language model."""

    prompt: Style = "chat"
    """"raw": Mistral's template, for a completion endpoint. "chat": any endpoint."""

    sampling: Sampling = Sampling(temperature=0.3, top_p=0.95, max_tokens=4096)
    attempts: int = Field(3, ge=1)
    """How often the language model is asked until a translation passes the checks."""

    shortest: float = Field(0.5, gt=0)
    """The least length of a translation, relative to the text; short texts are not checked."""

    longest: float = Field(2.0, gt=0)
    """The greatest length of a translation, relative to the text."""

    check_language: bool = True
    """Whether a translation of five words or more must be in the target language."""


class Translate(RowGenerator):
    """Add the missing language of texts: `text_ms`, or `text` where that was Malay.

    A row is translated as a whole or rejected. Existing translations are kept.
    """

    name: ClassVar[str] = "translate"
    version: ClassVar[str] = "2"
    needs: ClassVar[tuple[str, ...]] = ("translator",)
    Options: ClassVar[type[Config]] = TranslateOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"by": "translator", "source": "en"},
        "language-model": {"by": "language_model"},
    }
    options: TranslateOptions

    def models(self) -> tuple[str, ...]:
        """Return the model that translates."""
        return (self.options.by,)

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return the row with all its texts in both languages."""
        if not any(piece.text is not None for piece in row.pieces()):
            raise Rejected("nothing to translate", "the row has no texts")
        turns = []
        for turn in row.turns:
            content = [await self._piece(piece, row, context) for piece in turn.content]
            turns.append(turn.model_copy(update={"content": tuple(content)}))
        return [row.changed(turns=tuple(turns))]

    async def _piece(self, piece: Piece, row: Row, context: RowContext) -> Piece:
        if piece.text is None or piece.text_ms is not None:
            return piece
        if not any(line.text for line in lines_of(piece.text)):
            # Numbers, code or an empty text: the same in both.
            return piece.model_copy(update={"text_ms": piece.text})
        language = piece.lang or self._language(piece.text, row)
        if language not in LANGUAGES:
            raise Rejected("language that is not translated", language)
        target = "ms" if language == "en" else "en"
        translated = await self._translated(piece.text, language, target, context)
        both = {language: piece.text, target: translated}
        return piece.model_copy(update={"text": both["en"], "text_ms": both["ms"], "lang": "en"})

    def _language(self, text: str, row: Row) -> str:
        if self.options.source != "detect":
            return self.options.source
        if count_words(text) >= FEW_WORDS:
            return language_of(text)
        # The language of a few words is uncertain; the texts around them likely have the same.
        return language_of("\n".join(piece.text for piece in row.pieces() if piece.text))

    async def _translated(self, text: str, source: str, target: str, context: RowContext) -> str:
        if self.options.by == "language_model":
            return await self._by_model(text, source, target, context)
        lines = []
        for line in lines_of(text):
            made = await self._line(line, source, target, context) if line.text else ""
            lines.append(f"{line.before}{made}{line.after}")
        translated = "\n".join(lines)
        if problem := self._checks.problem(text, translated, target):
            raise Rejected(f"bad translation: {problem}", translated[:200])
        return translated

    async def _line(self, line: Line, source: str, target: str, context: RowContext) -> str:
        """Translate a line as a whole; if that fails, by sentences."""
        ways = list(dict.fromkeys([(line.text,), tuple(sentences_of(line.text))]))
        problem = translated = ""
        for parts in ways:
            try:
                made = await context.translate(parts, source=source, target=target)
            except BackendError:
                # A line that is too long for the model may have several sentences.
                if parts == ways[-1]:
                    raise
                continue
            translated = " ".join(each.strip() for each in made)
            problem = self._checks.problem(line.text, translated, target)
            if not problem:
                return translated
        detail = f"{line.text[:100]!r} became {translated[:100]!r}"
        raise Rejected(f"bad translation: {problem}", detail)

    async def _by_model(self, text: str, source: str, target: str, context: RowContext) -> str:
        bare = text.strip()
        before, after = text[: text.index(bare)], text[text.index(bare) + len(bare) :]
        prompt = self.options.instruction.replace("{source}", LANGUAGES[source])
        prompt = prompt.replace("{target}", LANGUAGES[target]).replace("{text}", bare)
        ask = asking(context, self.options.prompt, prompt, self.options.sampling)

        def check(translated: str) -> str:
            problem = self._checks.problem(bare, translated, target)
            return f"bad translation: {problem}" if problem else ""

        return before + await ask_until_fit(ask, self.options.attempts, check=check) + after

    @property
    def _checks(self) -> Checks:
        chosen = self.options
        return Checks(chosen.shortest, chosen.longest, chosen.check_language)
