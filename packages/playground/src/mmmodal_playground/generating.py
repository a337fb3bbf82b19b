"""The trained parts as models of the data pipeline; it needs `mmmodal-datagen`."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_datagen.backends.local_files import LocalOptions
from mmmodal_datagen.backends.local_recogniser import LocalRecogniser
from mmmodal_datagen.backends.seq2seq import Seq2Seq, Seq2SeqOptions
from mmmodal_playground.parts import CHECKSUMS, part_folder, shipped
from mmmodal_playground.things import TALKS
from mmmodal_playground.wording import ANSWERS

__all__ = ["PlaygroundRecogniser", "PlaygroundTranslator"]

PREFIXES = {"ms": "translate English to Malay: ", "en": "translate Malay to English: "}


class RecogniserOptions(LocalOptions):
    """The device and limits; the weights are included."""

    source: str = Field(default_factory=lambda: str(shipped() / "whisper"))


class TranslatorOptions(Seq2SeqOptions):
    """The device and limits; the weights are included."""

    source: str = Field(default_factory=lambda: str(shipped() / "translator"))
    prefixes: dict[str, str] = Field(PREFIXES)
    longest: int = Field(48, ge=1)


class PlaygroundRecogniser(LocalRecogniser):
    """The tiny Whisper that knows the playground's phrases; windows of 3 s."""

    name: ClassVar[str] = "playground"
    Options: ClassVar[type[Config]] = RecogniserOptions

    def identity(self) -> dict[str, Any]:
        """Return the identity of the weights, independent of their path."""
        return super().identity() | _named("whisper", self.options.source)


class PlaygroundTranslator(Seq2Seq):
    """The tiny T5 that knows the playground's sentences, English to Malay and back.

    It was not trained on single words, which many answers are; these are translated by a table.
    """

    name: ClassVar[str] = "playground"
    Options: ClassVar[type[Config]] = TranslatorOptions

    def identity(self) -> dict[str, Any]:
        """Return the identity of the weights, independent of their path."""
        named = _named("translator", self.options.source)
        return super().identity() | named | {"looked_up": len(_words("en", "ms"))}

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return the translation of each text, taken as one line."""
        known = _words(source, target)
        left = [text for text in texts if text.casefold() not in known]
        made = iter(await super().translate(left, source=source, target=target))
        return [known.get(text.casefold()) or next(made) for text in texts]


@functools.cache
def _words(source: str, target: str) -> dict[str, str]:
    """Return the translations of the world's words and of fixed answers."""
    pairs = list(zip(TALKS[source].words.values(), TALKS[target].words.values(), strict=True))
    fixed = [name for name, text in ANSWERS[source].items() if "{" not in text]
    return dict(pairs) | {ANSWERS[source][name]: ANSWERS[target][name] for name in fixed}


@functools.cache
def _named(part: str, source: str) -> dict[str, Any]:
    """Return the name and revision of a shipped part, after verifying it; else an empty dict."""
    if source != str(shipped() / part):
        return {}
    part_folder(part)
    sums = json.loads((shipped() / CHECKSUMS).read_text(encoding="utf-8"))
    own = sorted(item for item in sums.items() if item[0].startswith(f"{part}/"))
    revision = hashlib.sha256(json.dumps(own).encode()).hexdigest()[:12]
    return {"model": f"playground-{part}", "revision": revision}
