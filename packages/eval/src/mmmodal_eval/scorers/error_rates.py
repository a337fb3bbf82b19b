"""Word and character error rates, by jiwer."""

from __future__ import annotations

from abc import abstractmethod

from mmmodal.authoring.parts import Config
from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.scorers.normalisation import words_of

__all__ = ["CER", "WER", "ErrorRateOptions"]


class ErrorRateOptions(Config):
    """How texts are normalised before they are compared."""

    normalise: bool = True
    """Whether texts are compared in lower case and without punctuation, as `exact` does."""


class ErrorRate(Scorer):
    """Edits of all answers over the length of all references; of several, the closest one."""

    Options = ErrorRateOptions
    options: ErrorRateOptions
    unit = "rate"
    better = "lower"
    is_mean = False

    @abstractmethod
    def edits(self, reference: str, answer: str) -> tuple[int, int]:
        """Return the edits from a reference to an answer, and the length of the reference."""

    def check(self, expected: Expected) -> None:
        """Refuse references without a word."""
        if not all(self._text(each, expected.language) for each in expected.references):
            raise ValueError("a reference holds no word; fill it, or set `expect.scored` to false")

    def score(self, answer: str, expected: Expected) -> Score:
        """Return edits and length; `read` is the normalised answer."""
        read = self._text(answer, expected.language)
        found = [
            self.edits(self._text(reference, expected.language), read)
            for reference in expected.references
        ]
        edits, length = min(found, key=lambda each: each[0] / each[1])
        return Score((float(edits), float(length)), read)

    def signature(self) -> str:
        """Return whether texts are normalised, and the version of jiwer."""
        from importlib.metadata import version

        normalise = "yes" if self.options.normalise else "no"
        return f"{self.name}, normalise: {normalise}, jiwer {version('jiwer')}"

    def _text(self, text: str, language: str | None) -> str:
        words = words_of(text, language) if self.options.normalise else text.split()
        return " ".join(words)


class WER(ErrorRate):
    """Word error rate: substituted, deleted and inserted words over the words of the reference."""

    name = "wer"

    def edits(self, reference: str, answer: str) -> tuple[int, int]:
        """Return the edits of words, and the words of the reference."""
        import jiwer

        found = jiwer.process_words(reference, answer)
        edits = found.substitutions + found.deletions + found.insertions
        return edits, found.substitutions + found.deletions + found.hits


class CER(ErrorRate):
    """Character error rate: the same of characters, spaces between words among them."""

    name = "cer"

    def edits(self, reference: str, answer: str) -> tuple[int, int]:
        """Return the edits of characters, and the characters of the reference."""
        import jiwer

        found = jiwer.process_characters(reference, answer)
        edits = found.substitutions + found.deletions + found.insertions
        return edits, found.substitutions + found.deletions + found.hits
