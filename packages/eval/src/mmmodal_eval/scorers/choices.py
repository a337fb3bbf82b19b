"""Which of several choices an answer means, as read from its text."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Sequence

from mmmodal_eval.scorers.normalisation import normalised

__all__ = ["Choices"]

LETTERS = string.ascii_uppercase

LABEL = r"[(\[]?{letter}\s?[.):\]]"
"""A letter in front of the text of a choice."""

ALONE = re.compile(r"[\W_]*([A-Za-z])[\W_]*")
"""An answer that is a letter, as `B`, `(b)`, `**B.**`."""

REASON = r"(?:is|because|since|ialah|adalah|kerana|sebab)\b"
AHEAD = re.compile(
    r"[\s*_`\"']*(?:[(\[]\s?([A-Za-z])\s?[)\]]|([A-Za-z])\s?[.):\]](?!\w)|([B-HJ-Z])(?=[\s,])"
    rf"|(A)(?=\s*,|\s+{REASON}))[\s*_:.,–—-]*"
)
"""A letter at the beginning of an answer, as `B. blue`, `(b) blue`, `B, as it is blue`."""

LETTER = r"[\s:*_`\"'=]*(?:[(\[]\s?([A-Za-z])\s?[)\]]|([A-Z]))(?![\w'’])[*_`\"')\].,:;]*"
SAID = (
    r"(?:\s+(?:is|was|be|are|would|should|must|ialah|adalah|iaitu|yang|betul|benar|tepat|correct))*"
)
ANSWERED = re.compile(
    r"\b(?:answers?|jawapan(?:nya)?|jawaban(?:nya)?)\b" + SAID + r"\s*(?:option|choice|letter"
    r"|pilihan|huruf|the\s+letter|(?:the\s+)?(?:option|choice))?" + LETTER,
    re.IGNORECASE,
)
"""`The answer is B`, `Answer: (b)`, `Jawapannya ialah B`."""

NAMED = re.compile(
    r"\b(?:option|choice|choose|chose|pick|select|letter|pilihan|pilih|memilih|huruf)\b"
    + SAID
    + LETTER,
    re.IGNORECASE,
)
"""`I choose B`, `option (b)`, `pilihan B`."""

BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-Za-z])()\)?\s*\}")
BRACKETED = re.compile(r"[(\[]\s?([A-Za-z])\s?[)\]]")
LISTED = re.compile(r"[(\[]\s?([A-Za-z])\s?[)\]]|(?<![\w.])([A-Z])[.):](?!\w)")
"""A letter of a list of choices, as `B.`, `(b)`."""

MORE = re.compile(r"\s*(?:or|and|and/or|atau|dan|/|,|&)\s*[(\[]?([A-Za-z])\b[)\]]?(?!['’])", re.I)
"""Another letter behind a letter, as in `B or C`."""

ARTICLE = re.compile(rf"\s+(?!as\b|for\b|{REASON})[a-z]")
"""What makes an A before it a word."""

DENYING = """
not isnt arent wasnt werent dont doesnt didnt cannot cant never neither nor except without
bukan bukannya bukanlah tidak tak tiada kecuali
"""
NEGATIONS = frozenset(DENYING.split())
FILLERS = frozenset({"a", "an", "the", "in", "on", "at", "any", "either", "yang", "di", "pada"})
"""What may stand between a negation and what it denies."""


class Choices:
    """The choices of one question, and how answers name them."""

    def __init__(self, texts: Sequence[str], language: str | None = None) -> None:
        self._language = language
        self.texts = tuple(_unlabelled(texts))
        """The choices, without the letters that they may begin with."""

        self._plain = [normalised(text, language) for text in self.texts]

    @property
    def letters(self) -> str:
        """The letters of all choices."""
        return LETTERS[: len(self.texts)]

    def named(self, reference: str) -> int | None:
        """Return the index of the choice that a reference names: its text, else its letter."""
        if self.texts.count(reference.strip()) == 1:
            return self.texts.index(reference.strip())
        return self.read(reference)

    def read(self, answer: str) -> int | None:
        """Return the index of the choice that an answer means; None if it is not clear.

        An answer that is the text of a choice means it; then one that is, declares or begins with
        a letter; then one that holds the text of one choice alone.
        """
        answer = unicodedata.normalize("NFKC", answer)
        said = normalised(answer, self._language)
        if self._plain.count(said) == 1:
            return self._plain.index(said)
        if alone := ALONE.fullmatch(answer):
            return self._index(alone[1])
        for declared in (
            [*self._declared(BOXED, answer)],
            [*self._declared(ANSWERED, answer)],
            [*self._ahead(said, answer)],
            [*self._declared(NAMED, answer)],
        ):
            if declared:
                return declared[0] if len({*declared}) == 1 else None
        return self._mentioned(said, answer)

    def is_lettered(self, question: str) -> bool:
        """Return whether a question shows each choice with its letter."""
        return all(
            re.search(rf"(?<!\w){LABEL.format(letter=letter)}\s*{re.escape(text)}", question)
            for letter, text in zip(self.letters, self.texts, strict=True)
        )

    def _index(self, letter: str) -> int | None:
        found = self.letters.find(letter.upper())
        return found if found >= 0 else None

    def _ahead(self, said: str, answer: str) -> Iterator[int | None]:
        """Yield the choice of the letter at the beginning of an answer; None if others follow."""
        ahead = AHEAD.match(answer)
        if ahead is None or any(said.startswith(f"{t} ") for t in self._plain if len(t) > 1):
            return
        letter = next(filter(None, ahead.groups()))
        following = answer[ahead.end() :]
        listed = {found[1] or found[2] for found in LISTED.finditer(following)}
        for end in (ahead.end(ahead.lastindex or 0), ahead.end()):
            if more := MORE.match(answer, end):
                listed.add(more[1].upper())
        others = {each for each in listed if self._index(each) not in (None, self._index(letter))}
        yield None if others else self._agreed(letter, following)

    def _agreed(self, letter: str, following: str) -> int | None:
        """Return the choice of a letter, unless the text behind it is that of another choice."""
        index = self._index(letter)
        said = f"{normalised(following, self._language)} "
        begun = [at for at, text in enumerate(self._plain) if text and said.startswith(f"{text} ")]
        longest = max(begun, key=lambda at: len(self._plain[at]), default=index)
        return index if self._same(index, longest) else None

    def _same(self, index: int | None, other: int | None) -> bool:
        """Return whether two choices are one, or have the same text."""
        if index is None or other is None:
            return index is other
        return self._plain[index] == self._plain[other]

    def _declared(self, pattern: re.Pattern[str], answer: str) -> Iterator[int | None]:
        """Yield the choice of each letter that an answer declares; None for what is not clear."""
        for match in pattern.finditer(answer):
            letter = match[1] or match[2]
            bare = match[2] is not None and match[0][-1] == letter
            if bare and letter in "AaIi" and ARTICLE.match(answer, match.end()):
                continue
            other = MORE.match(answer, match.end())
            listed = other is not None and self._index(other[1]) is not None
            yield None if listed else self._agreed(letter, answer[match.end() :])

    def _mentioned(self, said: str, answer: str) -> int | None:
        """Return the only choice whose text, or letter in brackets, an answer holds."""
        found = self._texts_in(said)
        found |= {self._index(match[1]) for match in BRACKETED.finditer(answer)}
        return next(iter(found)) if len(found) == 1 else None

    def _texts_in(self, said: str) -> set[int | None]:
        """Return the choices whose texts are words of an answer, the longest at each place.

        None is among them if a text is denied, as in `not red`.
        """
        found: set[int | None] = set()
        rest = f" {said} "
        for index in sorted(range(len(self._plain)), key=lambda at: -len(self._plain[at])):
            words = f" {self._plain[index]} "
            while words.strip() and words in rest:
                before, _, after = rest.partition(words)
                alike = self._plain.count(self._plain[index]) > 1
                found.add(None if alike or _is_denied(before) else index)
                rest = f"{before} \0 {after}"
        return found


def _is_denied(before: str) -> bool:
    """Return whether words end with a negation, but for articles and the like."""
    words = [*before.split()]
    while words and words[-1] in FILLERS:
        words.pop()
    return bool(words) and words[-1] in NEGATIONS


def _unlabelled(texts: Sequence[str]) -> Iterator[str]:
    """Yield choices without `A. `, `B. ` … or `(A) `, `(B) ` …, if all have it."""
    found = [
        re.match(rf"\s*{LABEL.format(letter=letter)}\s*(?=\S)", text)
        for letter, text in zip(LETTERS, texts, strict=False)
    ]
    for text, label in zip(texts, found, strict=False):
        yield text[label.end() :].strip() if label and all(found) else text.strip()
