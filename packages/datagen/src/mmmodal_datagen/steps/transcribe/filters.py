"""Checks of a transcript; they never change it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Confidence, Gate, Transcript
from mmmodal_datagen.contracts import Segment as Spoken

__all__ = ["PHRASES", "Check", "Filters", "checks", "only_phrases"]

FEW_WORDS = 3
"""Up to so many words in capitals may be an abbreviation."""

PHRASES = (
    # The two that the paper's code blanks (malaysian-dataset, speech-to-text-semisupervised).
    "terima kasih",
    "terima kasih kerana menonton",
    # Others that are reported for Malay, Indonesian and English.
    "terima kasih kerana menonton video ini",
    "terima kasih telah menonton",
    "jangan lupa like dan subscribe",
    "jangan lupa like share dan subscribe",
    "jangan lupa subscribe",
    "sampai jumpa di video selanjutnya",
    "sampai jumpa lagi",
    "thank you",
    "thank you for watching",
    "thanks for watching",
    "please subscribe",
    "subtitles by the amara org community",
)
"""What Whisper writes without speech: the ends of videos it was trained on. In lower case, without
punctuation. People say them too, but briefly."""

Check = tuple[Gate, str]
"""A check with its threshold, and the finding as text."""


class Filters(Config):
    """The checks of a transcript; None, 0 or an empty value turns one off."""

    raw_score: float | None = None
    """The least value of the paper's score: the mean of the highest logit of each step, over the
    clip's own tokens. It is computed only if this is set."""

    words: int = Field(1, ge=0)
    """The least number of words."""

    accept: tuple[str, ...] = ()
    """The accepted languages; by default all."""

    unique_words: float = Field(0.4, ge=0, le=1)
    """The least share of different words."""

    longest_word: int | None = Field(24, ge=1)
    """The maximum number of characters of a word."""

    characters_per_s: float | None = Field(40.0, gt=0)
    """The maximum number of characters per second."""

    capitals: bool = False
    """Whether a text may be all in capitals, as titles are."""

    phrases: tuple[str, ...] = PHRASES
    """Phrases that recognisers write without speech."""

    phrase_s: float = Field(3.0, ge=0)
    """The maximum length of a segment of such phrases only; real ones are short."""


def checks(
    transcript: Transcript, seconds: float, filters: Filters, confidence: Confidence
) -> Iterator[Check]:
    """Yield the checks of a transcript; the first failed one is the reason of a rejection.

    Scores are those of the worst segment.
    """
    text = transcript.text
    words = text.split()
    yield _at_least("nothing was said", len(words), 1)
    if not words:
        return
    if filters.accept:
        passed = transcript.language in filters.accept
        gate = Gate(name="another language", value=float(passed), threshold=1, passed=passed)
        yield gate, transcript.language
    if filters.raw_score is not None:
        yield _at_least("low raw score", transcript.raw_score or 0.0, filters.raw_score)
    yield _at_least("few words", len(words), filters.words)
    yield from _sure(transcript, confidence)
    yield from _invented(text, words, seconds, filters)
    if filters.phrases:
        longest = max(_phrase_seconds(transcript, seconds, filters.phrases), default=0.0)
        yield _at_most("hallucinated phrase", longest, filters.phrase_s, text)


def _sure(transcript: Transcript, confidence: Confidence) -> Iterator[Check]:
    """Yield the checks of the recogniser's scores, as far as there are any."""
    if confidence.avg_logprob is not None and (found := _known(transcript, "avg_logprob")):
        yield _at_least("unsure words", min(found), confidence.avg_logprob)
    if confidence.no_speech_prob is not None and (found := _known(transcript, "no_speech_prob")):
        yield _at_most("no speech", max(found), confidence.no_speech_prob)
    ratio = confidence.compression_ratio
    if ratio is not None and (found := _known(transcript, "compression_ratio")):
        yield _at_most("repeats itself", max(found), ratio)


def _known(transcript: Transcript, name: str) -> list[float]:
    found = (getattr(segment, name) for segment in transcript.segments)
    return [value for value in found if value is not None]


def _invented(text: str, words: list[str], seconds: float, filters: Filters) -> Iterator[Check]:
    """Yield the checks for invented text, such as loops, which may have high scores."""
    different = len({word.casefold() for word in words}) / len(words)
    yield _at_least("few different words", different, filters.unique_words)
    if filters.longest_word is not None:
        longest = max(words, key=len)
        yield _at_most("overlong word", len(longest), filters.longest_word, longest)
    if filters.characters_per_s is not None:
        yield _at_most("too fast for speech", len(text) / seconds, filters.characters_per_s)
    if not filters.capitals:
        shouted = text.isupper() and len(words) > FEW_WORDS
        yield _at_most("all in capitals", float(shouted), 0, text)


def _phrase_seconds(
    transcript: Transcript, seconds: float, phrases: tuple[str, ...]
) -> Iterator[float]:
    whole = Spoken(start_s=0.0, end_s=seconds, text=transcript.text)
    for segment in transcript.segments or (whole,):
        if only_phrases(segment.text, phrases):
            yield segment.end_s - segment.start_s


def _at_least(name: str, value: float, threshold: float, found: str = "") -> Check:
    gate = Gate(name=name, value=value, threshold=threshold, passed=value >= threshold)
    return gate, found[:200] or f"{value:.4g}"


def _at_most(name: str, value: float, threshold: float, found: str = "") -> Check:
    gate = Gate(name=name, value=value, threshold=threshold, passed=value <= threshold)
    return gate, found[:200] or f"{value:.4g}"


def only_phrases(text: str, phrases: tuple[str, ...] = PHRASES) -> bool:
    """Return whether a text consists only of these phrases."""
    return bool(phrases) and _pattern(phrases).fullmatch(_plain(text)) is not None


@functools.cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    one = "|".join(re.escape(_plain(phrase)) for phrase in phrases)
    return re.compile(rf"(?:(?:{one})(?: |$))+")


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]|_", " ", text.casefold()).split())
