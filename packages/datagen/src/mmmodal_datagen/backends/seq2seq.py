"""`seq2seq`: a translation model of transformers: T5 and MADLAD with prefixes, NLLB with codes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_datagen.backends.batcher import Batcher
from mmmodal_datagen.backends.local_files import LocalOptions, loaded
from mmmodal_datagen.contracts import BackendError, Translator

__all__ = ["Seq2Seq", "Seq2SeqOptions"]


class Seq2SeqOptions(LocalOptions):
    """The model, and how the direction is set."""

    prefixes: dict[str, str] = Field({})
    """The prefix of a text, by target language: `{ms: "translate English to Malay: "}`."""

    codes: dict[str, str] = Field({})
    """The model's codes of languages, for tokenizers that take them:
    `{en: eng_Latn, ms: zsm_Latn}`."""

    beams: int = Field(1, ge=1)
    longest: int = Field(512, ge=1)
    """The maximum number of tokens of a text with its prefix, and of its translation."""


class _Asked(NamedTuple):
    text: str
    source: str
    target: str


class Seq2Seq(Translator):
    """Any encoder-decoder translation model that transformers loads."""

    name: ClassVar[str] = "seq2seq"
    Options: ClassVar[type[Config]] = Seq2SeqOptions
    options: Seq2SeqOptions

    def __init__(self, options: Config | None = None) -> None:
        super().__init__(options)
        self._batcher = Batcher(self._translated, self.options.batch_size)

    def identity(self) -> dict[str, Any]:
        """Return the weights and the settings of decoding."""
        chosen = self.options.model_dump(exclude={"source", "device", "batch_size"})
        return {"model": self.options.source, **chosen}

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return the translation of each text, taken as one line."""
        return [await self._batcher.ask(_Asked(text, source, target)) for text in texts]

    async def aclose(self) -> None:
        """End the model's thread."""
        self._batcher.close()

    def _translated(self, asked: Sequence[_Asked]) -> list[str | Exception]:
        """Return the translations of a batch; texts of one direction are translated together."""
        answers: dict[int, str | Exception] = {}
        for source, target in sorted({(each.source, each.target) for each in asked}):
            chosen = [i for i, each in enumerate(asked) if each[1:] == (source, target)]
            texts = [asked[index].text for index in chosen]
            answers |= dict(zip(chosen, self._one_way(texts, source, target), strict=True))
        return [answers[index] for index in range(len(asked))]

    def _one_way(self, texts: list[str], source: str, target: str) -> list[str | Exception]:
        import torch

        model, tokenizer = self._model
        codes = self.options.codes
        forced = {}
        if codes:
            tokenizer.src_lang = codes.get(source, source)
            code = tokenizer.convert_tokens_to_ids(codes.get(target, target))
            forced = {"forced_bos_token_id": code}
        prefix = self.options.prefixes.get(target, "")
        encoded = tokenizer([prefix + text for text in texts], return_tensors="pt", padding=True)
        lengths = encoded["attention_mask"].sum(1).tolist()
        # [texts, T]; texts that are too long get an error, and the others are translated.
        kept = [index for index, length in enumerate(lengths) if length <= self.options.longest]
        answers: list[str | Exception] = [_too_long(n, self.options.longest) for n in lengths]
        if not kept:
            return answers
        inputs = {
            name: encoded[name][kept].to(model.device) for name in ("input_ids", "attention_mask")
        }
        with torch.inference_mode():
            written = model.generate(
                **inputs,
                **forced,
                max_new_tokens=self.options.longest,
                num_beams=self.options.beams,
                do_sample=False,
            )
        for index, ids in zip(kept, written, strict=True):
            answers[index] = _text(ids, model, tokenizer)
        return answers

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        revision = self.options.revision or "main"
        tokenizer = AutoTokenizer.from_pretrained(self.options.source, revision=revision)
        return loaded(AutoModelForSeq2SeqLM, self.options), tokenizer


def _too_long(length: int, longest: int) -> BackendError:
    detail = f"{length:,} tokens, of which the model takes {longest:,}"
    return BackendError("text too long to translate", detail)


def _text(ids: Any, model: Any, tokenizer: Any) -> str | Exception:
    """Return a translation, or the error that it was cut off or is empty."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    if not any(end in ids[1:].tolist() for end in ends):
        return BackendError("translation cut off", f"after {len(ids):,} tokens")
    text = str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
    return text or BackendError("empty translation")
