"""What an endpoint says when it refuses a call: in its own words, and what that means here."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Literal, Self

__all__ = ["Refusal", "ordinary_words"]

Hopeless = Literal["key", "quota", "model"]

KEY_CODES = {"invalid_api_key", "api_key_invalid", "incorrect_api_key", "invalid_authentication"}
KEY_WORDS = re.compile(r"(?i)(?:incorrect|invalid) api[ _-]?key|api[ _-]?key (?:is )?not valid")
QUOTA_CODES = {
    *("insufficient_quota", "insufficient_balance", "insufficient_credits", "arrearage"),
    *("exceeded_current_quota_error", "billing_hard_limit_reached", "billing_not_active"),
}
QUOTA_WORDS = re.compile(
    r"(?i)insufficient[ _](?:quota|balance|credits?|funds)|credit balance is too low"
    r"|(?:out of|used all(?: available)?) credits|exceeded your current quota"
    r"|billing hard limit|余额不足|欠费"
)
MODEL_CODES = {"model_not_found", "invalid_model", "model_not_exist", "deploymentnotfound"}
MODEL_WORDS = re.compile(
    r"(?i)(?:invalid|unknown) model\b|model not exist|not a valid model\b"
    r"|\bmodel\b.{0,120}\b(?:does not|doesn't) exist"
)
FILTER_CODES = {
    *("content_filter", "content_policy_violation", "responsibleaipolicyviolation"),
    *("moderation", "data_inspection_failed", "sensitive"),
}
FILTER_WORDS = re.compile(r"(?i)\b(?:was|been) flagged\b|\brequires moderation\b")

MESSAGES = ("message", "msg", "detail", "error", "errors", "error_description")
NAMES_OF_FIELDS = ("param", "parameter", "field", "path", "property")
NAMES_OF_CODES = ("code", "type", "status", "reason", "error_type")

UNSUPPORTED = re.compile(
    r"(?i)unknown|unrecogni[sz]ed|unsupported|not support|n't support|unexpected|extra_?|"
    r"not permitted|not allowed|forbidden|cannot find field|only the default|cannot both|"
    r"not implemented|deprecated|invalid (?:parameter|argument|field)"
)
"""What endpoints say of a parameter, or of its value, that a model does not know."""

ALLOWED = re.compile(r"(?i)expected (?:one of|a)\b|\buse ['\"`]|\b(?:valid|allowed) \w+s are\b")
"""What follows names other parameters: those that are allowed."""

SPOKEN_OF = (
    r"(?:\A|['\"`\[.]|(?:argument|parameter|field|property|key)s?(?: supplied)?:? ['\"`\[]*)"
)
"""What precedes the name of a parameter, as opposed to a word of a sentence."""


@dataclass(frozen=True)
class Refusal:
    """A response with an error in it."""

    status: int
    text: str
    """The body."""

    headers: Mapping[str, str]

    @classmethod
    def within(cls, answer: Any) -> Self | None:
        """Return the refusal in a response of status 200, where some gateways hide one."""
        error = answer.get("error") if isinstance(answer, Mapping) else None
        code = error.get("code") if isinstance(error, Mapping) else None
        if not isinstance(code, int) or not 400 <= code < 600 or answer.get("choices"):
            return None
        return cls(code, json.dumps(answer, ensure_ascii=False), {})

    @cached_property
    def words(self) -> str:
        """What the server says, in its own words."""
        return _message(self._body) or self.text.strip() or f"status {self.status}"

    @cached_property
    def hopeless(self) -> Hopeless | None:
        """Why every other call would be refused as well; None where another may succeed."""
        if self.is_filter:
            return None
        client_error = 400 <= self.status < 500
        busy = self.retry_after is not None or "rate_limit_exceeded" in self._codes
        told = QUOTA_WORDS.search(self.words) and client_error and not busy
        if self.status == 402 or self._codes & QUOTA_CODES or told:
            return "quota"
        if self._codes & MODEL_CODES or self.status == 404:
            return "model"
        if self.status in (401, 403) or self._codes & KEY_CODES:
            return "key"
        if self.status in (400, 422):
            return self._told_hopeless
        return None

    @property
    def _told_hopeless(self) -> Hopeless | None:
        if KEY_WORDS.search(self.words):
            return "key"
        return "model" if MODEL_WORDS.search(self.words) else None

    @cached_property
    def is_filter(self) -> bool:
        """Whether a filter refuses what was asked in this one call."""
        if self.status not in (400, 403, 422):
            return False
        return bool(self._codes & FILTER_CODES or FILTER_WORDS.search(self.words))

    @cached_property
    def retry_after(self) -> float | None:
        """Seconds until the next call, as the server asks; None where it does not."""
        for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
            if (seconds := _seconds(self.headers.get(name, ""))) is not None:
                return max(0.0, seconds / scale)
        found = re.search(r'"retryDelay":\s*"(\d+(?:\.\d+)?)s"', self.text)  # Gemini
        return float(found[1]) if found else None

    @property
    def is_unsupported(self) -> bool:
        """Whether something is refused as unknown or unsupported, not only for its value."""
        return bool(UNSUPPORTED.search(f"{self.words} {' '.join(self._codes)}"))

    def parameter(self, sent: Collection[str]) -> str | None:
        """Return the parameter that a call is refused for; None where it is not for one.

        Args:
            sent: the names of the call's parameters.
        """
        if self.status not in (400, 422, 501):
            return None
        fields = list(_fields(self._body))
        named = [name for name in fields if name in sent]
        if not named:
            said = ALLOWED.split(self.words, maxsplit=1)[0]
            found = sorted((place, name) for name in sent if (place := _place(name, said)) >= 0)
            named = [name for _, name in found]
        if not named:
            return None
        return named[-1] if " both " in self.words else named[0]

    @cached_property
    def _body(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text.strip()

    @cached_property
    def _codes(self) -> frozenset[str]:
        return frozenset(_codes(self._body))


def ordinary_words(error: BaseException) -> str:
    """Return what an error says on one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def _message(body: Any) -> str:
    """Return the message in the body of a refusal, of whatever form."""
    if isinstance(body, str):
        return body.strip()
    if isinstance(body, list):
        return "; ".join(filter(None, map(_message, body)))
    if not isinstance(body, Mapping):
        return ""
    said = next((found for name in MESSAGES if (found := _message(body.get(name)))), "")
    if isinstance(place := body.get("loc"), list):
        said = f"{'.'.join(map(str, place))}: {said}"
    metadata = body.get("metadata")  # OpenRouter: what the provider behind it said
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return f"{said}: {raw}" if isinstance(raw, str) and raw else said


def _codes(body: Any) -> Iterator[str]:
    """Yield the codes in a body, in lower case, at any depth."""
    for each in body if isinstance(body, list) else []:
        yield from _codes(each)
    if isinstance(body, Mapping):
        for name, value in body.items():
            if name in NAMES_OF_CODES and isinstance(value, str):
                yield value.lower()
            yield from _codes(value)


def _fields(body: Any) -> Iterator[str]:
    """Yield the names that a body gives as the place of a problem."""
    for each in body if isinstance(body, list) else []:
        yield from _fields(each)
    if isinstance(body, Mapping):
        for key in NAMES_OF_FIELDS:
            if isinstance(name := body.get(key), str):
                yield name.rpartition(".")[2]
        if isinstance(place := body.get("loc"), list) and place:
            yield from map(str, place)
        for value in body.values():
            yield from _fields(value)


def _place(name: str, text: str) -> int:
    """Return where a text speaks of a parameter; -1 where it does not.

    Names that are ordinary words count in quotes, or after a word such as "parameter".
    """
    word = name.replace("_", "_?")
    start = r"(?<![A-Za-z0-9_])" if "_" in name else SPOKEN_OF
    found = re.search(rf"(?i){start}{word}(?![A-Za-z0-9_])", text)
    return found.start() if found else -1


def _seconds(header: str) -> float | None:
    """Return the seconds of a header: a number, or a date."""
    try:
        return float(header)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(header).timestamp() - time.time()
    except (TypeError, ValueError):
        return None
