"""Checks of a transcript; they never change it."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import regex
from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Confidence, Gate, Transcript
from mmmodal_datagen.contracts import Segment as Spoken
from mmmodal_datagen.texts.repetition import (
    byte_ratio,
    compression_ratio,
    share_of_different_words,
)
from mmmodal_datagen.texts.scripts import GRAPHEMES, has_unspaced, length_of
from mmmodal_datagen.texts.words import count_words, longest_word

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
    # And for other languages.
    "谢谢观看",
    "感谢观看",
    "字幕由amara org社区提供",
    "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
    "ご視聴ありがとうございました",
    "시청해 주셔서 감사합니다",
    "ขอบคุณที่รับชม",
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
    """The least number of words; without spaces, of characters that are as many."""

    accept: tuple[str, ...] = ()
    """The accepted languages; by default all."""

    unique_words: float = Field(0.4, ge=0, le=1)
    """The least share of different words; without spaces, of runs of characters of one word."""

    longest_word: int | None = Field(24, ge=1)
    """The maximum number of characters of a word, each with its marks; in scripts without spaces,
    of one character in a row."""

    characters_per_s: float | None = Field(40.0, gt=0)
    """The maximum number of Latin letters per second, or of what says as much in other scripts: of
    Chinese characters 11."""

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
    words = count_words(text)
    yield _at_least("nothing was said", words, 1)
    if not words:
        return
    if filters.accept:
        passed = transcript.language in filters.accept
        gate = Gate(name="another language", value=float(passed), threshold=1, passed=passed)
        yield gate, transcript.language
    if filters.raw_score is not None:
        yield _at_least("low raw score", transcript.raw_score or 0.0, filters.raw_score)
    yield _at_least("few words", words, filters.words)
    yield from _sure(transcript, confidence)
    yield from _invented(text, seconds, filters)
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
    if ratio is not None and (found := list(_ratios(transcript))):
        yield _at_most("repeats itself", max(found), ratio)


def _known(transcript: Transcript, name: str) -> list[float]:
    found = (getattr(segment, name) for segment in transcript.segments)
    return [value for value in found if value is not None]


def _ratios(transcript: Transcript) -> Iterator[float]:
    """Yield the compression ratios of segments as they would be in Latin letters."""
    for segment in transcript.segments:
        if segment.compression_ratio is not None:
            measured = byte_ratio(segment.text)
            same = compression_ratio(segment.text) / measured if measured else 1.0
            yield segment.compression_ratio * same


def _invented(text: str, seconds: float, filters: Filters) -> Iterator[Check]:
    """Yield the checks for invented text, such as loops, which may have high scores."""
    different = share_of_different_words(text)
    yield _at_least("few different words", different, filters.unique_words)
    if filters.longest_word is not None:
        longest = longest_word(text)
        length = len(GRAPHEMES.findall(longest))
        yield _at_most("overlong word", length, filters.longest_word, longest)
    if filters.characters_per_s is not None:
        speed = length_of(text) / seconds
        yield _at_most("too fast for speech", speed, filters.characters_per_s)
    if not filters.capitals:
        cased = [word for word in text.split() if word.upper() != word.lower()]
        shouted = text.isupper() and len(cased) > FEW_WORDS
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
def _pattern(phrases: tuple[str, ...]) -> regex.Pattern[str]:
    return regex.compile("(?:" + "|".join(map(_phrase, phrases)) + ")+")


def _phrase(phrase: str) -> str:
    """Return the pattern of a phrase, and of what separates it from the next one."""
    plain = _plain(phrase)
    return str(regex.escape(plain)) + (" ?" if has_unspaced(plain[-1:]) else "(?: |$)")


def _plain(text: str) -> str:
    return " ".join(str(regex.sub(r"[^\w\s]|_", " ", text.casefold())).split())
