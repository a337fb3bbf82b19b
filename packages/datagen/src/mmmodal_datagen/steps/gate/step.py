"""`gate`: checks of rows; a row that fails one is rejected with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Context, Generator, Refusal, Results, Row, Shard, ShardFile
from mmmodal_datagen.contracts import Gate as Check
from mmmodal_datagen.steps.gate.duplicates import known_duplicates
from mmmodal_datagen.texts.language import FEW_WORDS, language_of
from mmmodal_datagen.texts.markup import MARKERS, TAGS
from mmmodal_datagen.texts.ordinals import spoken_ordinals
from mmmodal_datagen.texts.repetition import compression_ratio, repeated_trigrams
from mmmodal_datagen.texts.scripts import length_of
from mmmodal_datagen.texts.thoughts import holds_thoughts
from mmmodal_datagen.texts.translation import translation_problem
from mmmodal_datagen.texts.words import count_words

__all__ = ["Gate", "GateOptions"]

LONG_ENOUGH = 200
"""The minimum length for a check by compression, in Latin letters that say as much."""


class GateOptions(Config):
    """The checks of a row, and their thresholds."""

    structure: bool = True
    """Turns alternate, none is empty, every medium is in a turn, and no text has template tags."""

    thoughts: bool = True
    """No text holds a thought of a model, or the marks that are left of one."""

    language: Literal["off", "malay", "both"] = "malay"
    """malay: the Malay texts are Malay. both: and the other texts are English."""

    translation: bool = True
    """If one text has Malay, all texts have it, with the same lines and numbers."""

    shortest_translation: float = Field(0.5, gt=0)
    """The least length of the Malay, relative to the text."""

    longest_translation: float = Field(2.0, gt=0)
    """The greatest length of the Malay, relative to the text."""

    shortest: int = Field(1, ge=0)
    """The minimum length of all answers of a row, in Latin letters that say as much."""

    longest: int = Field(40_000, ge=1)
    """The maximum length of all texts of a row, in Latin letters that say as much."""

    compression: float = Field(3.0, gt=1)
    """The maximum compression ratio of an answer: prose has about 1.5, a loop 8."""

    trigrams: int = Field(2, ge=1)
    """Rejected are answers with so many runs of three words that occur more than three times."""

    duplicates: bool = True
    duplicate_threshold: float = Field(0.8, gt=0, le=1)
    """The similarity at which the later of two rows is a duplicate."""

    duplicate_words: int = Field(30, ge=5)
    """Rows of fewer words are duplicates only if they are equal, including media."""


class Gate(Generator):
    """Measure every row, and reject those that fail a check."""

    name: ClassVar[str] = "gate"
    version: ClassVar[str] = "2"
    Options: ClassVar[type[Config]] = GateOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "structure": {"language": "off", "translation": False, "duplicates": False},
    }
    options: GateOptions

    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Return one shard for each file of the inputs; duplicates depend on all of them."""
        self._duplicates(tuple(inputs), context)
        return [Shard(index, (file,), beside=tuple(inputs)) for index, file in enumerate(inputs)]

    async def run(self, shard: Shard, context: Context) -> Results:
        """Return the rows of a shard with their checks."""
        duplicates = self._duplicates(shard.beside, context)
        results = Results(rows=[])
        for row in shard.read():
            checks = [*self._checks(row), *self._same(row, duplicates)]
            measured = context.for_row(row).signed(row.measured([check for check, _ in checks]))
            if failed := next((found for found in checks if not found[0].passed), None):
                results.rejected.append(Refusal(measured, failed[0].name, failed[1]))
            else:
                results.rows.append(measured)
        return results

    def _checks(self, row: Row) -> Iterator[tuple[Check, str]]:
        """Yield every check of a row with its finding; without whole turns, there are no others."""
        if self.options.structure:
            problem = structure_problem(row)
            yield Check(name="structure", value=float(not problem), passed=not problem), problem
            if problem:
                return
        if self.options.thoughts:
            yield from self._thoughts(row)
        yield from self._lengths(row)
        yield from self._repetition(row)
        if self.options.translation:
            yield from self._translation(row)
        if self.options.language != "off":
            yield from self._language(row)

    def _thoughts(self, row: Row) -> Iterator[tuple[Check, str]]:
        held = [text for text in _texts(row) if holds_thoughts(text)]
        passed = not held
        check = Check(name="holds a thought", value=len(held), threshold=0, passed=passed)
        yield check, held[0][:200] if held else ""

    def _lengths(self, row: Row) -> Iterator[tuple[Check, str]]:
        answers = sum(map(length_of, _answers(row)))
        total = sum(length_of(piece.text or "") for piece in row.pieces())
        yield _at_least("too short", answers, self.options.shortest)
        yield _at_most("too long", total, self.options.longest)

    def _repetition(self, row: Row) -> Iterator[tuple[Check, str]]:
        answers = list(_answers(row))
        long = [text for text in answers if length_of(text) >= LONG_ENOUGH]
        ratio = max((compression_ratio(text) for text in long), default=0.0)
        yield _at_most("repeats itself", ratio, self.options.compression)
        repeated = max((repeated_trigrams(text) for text in answers), default=0)
        yield _at_most("repeats phrases", repeated, self.options.trigrams - 1)

    def _translation(self, row: Row) -> Iterator[tuple[Check, str]]:
        pieces = [piece for piece in row.pieces() if piece.text is not None]
        if not any(piece.text_ms is not None for piece in pieces):
            return
        bounds = (self.options.shortest_translation, self.options.longest_translation)
        problems = [problem for piece in pieces if (problem := translation_problem(piece, *bounds))]
        passed = not problems
        check = Check(name="bad translation", value=len(problems), threshold=0, passed=passed)
        yield check, problems[0] if problems else ""

    def _language(self, row: Row) -> Iterator[tuple[Check, str]]:
        wrong = []
        for piece in row.pieces():
            expected = {"ms": piece.text_ms}
            if self.options.language == "both":
                expected["en"] = piece.text
            for language, text in expected.items():
                if text and count_words(text) >= FEW_WORDS and language_of(text) != language:
                    wrong.append(f"not {language}: {text[:100]}")
        check = Check(name="wrong language", value=len(wrong), threshold=0, passed=not wrong)
        yield check, wrong[0] if wrong else ""

    def _same(
        self, row: Row, duplicates: Mapping[str, tuple[str, float]]
    ) -> Iterator[tuple[Check, str]]:
        if self.options.duplicates:
            other, value = duplicates.get(row.id, ("", 0.0))
            threshold = self.options.duplicate_threshold
            check = Check(name="duplicate", value=value, threshold=threshold, passed=not other)
            yield check, f"of row {other}" if other else ""

    def _duplicates(
        self, inputs: tuple[ShardFile, ...], context: Context
    ) -> Mapping[str, tuple[str, float]]:
        if not self.options.duplicates:
            return {}
        settings = (self.options.duplicate_threshold, self.options.duplicate_words)
        return known_duplicates(inputs, *settings, context.folder)


def _texts(row: Row) -> list[str]:
    """Return all texts of a row, in both languages."""
    return [text for piece in row.pieces() for text in (piece.text, piece.text_ms) if text]


def _answers(row: Row) -> Iterator[str]:
    for turn in row.turns:
        if turn.role == "assistant":
            yield "".join(piece.text or "" for piece in turn.content)


def _at_least(name: str, value: float, threshold: float) -> tuple[Check, str]:
    passed = value >= threshold
    return Check(name=name, value=value, threshold=threshold, passed=passed), f"{value:g}"


def _at_most(name: str, value: float, threshold: float) -> tuple[Check, str]:
    passed = value <= threshold
    return Check(name=name, value=value, threshold=threshold, passed=passed), f"{value:.3g}"


def structure_problem(row: Row) -> str:
    """Return why a row is not a complete conversation, or ""."""
    roles = [turn.role for turn in row.turns if turn.role != "system"]
    if roles != ["user", "assistant"] * (len(roles) // 2) or not roles:
        return "turns do not alternate from the user's to the assistant's"
    if any(turn.role == "system" for turn in row.turns[1:]):
        return "a system turn is not the first"
    for turn in row.turns:
        said = [
            piece for piece in turn.content if (piece.text or "").strip() or piece.media is not None
        ]
        if not said:
            return "a turn is empty"
        if turn.role != "user" and any(piece.media is not None for piece in turn.content):
            return "a medium stands outside of the user's turns"
    if {piece.media for piece in row.pieces()} - {None} != set(range(len(row.media))):
        return "a medium is in no turn"
    texts = _texts(row)
    if any(TAGS.search(text) or MARKERS.search(text) for text in texts):
        return "a text holds a template tag or marker"
    counts = Counter(medium.kind for medium in row.media)
    for kind, number in (found for text in texts for found in spoken_ordinals(text)):
        if counts[kind] and not 1 <= number <= counts[kind]:
            return f"a text speaks of {kind} {number} of {counts[kind]}"
    return ""
