"""Tiny tokenizers of each type of language model, trained on a few sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["byte_level", "sentencepiece", "unigram"]

SIZE = 640

CORPUS = (
    "What do the first picture and the second clip have in common?",
    "Apakah persamaan antara gambar pertama dan klip kedua?",
    "The blue circle stands to the left of two small yellow squares.",
    "Bulatan biru itu berada di sebelah kiri dua segi empat kuning yang kecil.",
    "Both speakers wish us a good morning, one of them slowly.",
    "Kedua-dua penutur mengucapkan selamat pagi, seorang daripadanya perlahan-lahan.",
    "Please say how many there are: 0, 1, 2, 3, 4, 5, 6, 7, 8 or 9.",
    "It's been there since 2019, hasn't it? Yes! No; (maybe) [later] {x} <y> | z / w",
    "Line one.\nLine two.\n\n    def indented(text):\n        return text * 2\n",
    "Terima kasih. Sama-sama. Ya, tidak, mungkin.",
)

WORDS = {
    "qwen": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
"""The words before merging: Qwen makes each digit a word, Llama 3 and tekken up to three digits."""

BYTES = [f"<0x{i:02X}>" for i in range(256)]
"""The names of one-byte tokens in sentencepiece."""


def byte_level(words: str, *, composed: bool = False, ignore_merges: bool = False) -> Tokenizer:
    """Return a tokenizer like those of Qwen, Llama 3, Phi-4 and tekken: BPE on bytes.

    Args:
        words: a key of `WORDS`.
        composed: normalise to NFC first, as Qwen does.
        ignore_merges: use a whole word if the vocabulary has it, as Llama 3 does.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if composed:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS[words]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=SIZE, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def sentencepiece(control: Sequence[str], *, prefix: bool = True) -> Tokenizer:
    """Return a tokenizer like those of Llama 2, Mistral and Gemma: BPE on characters, or bytes.

    Args:
        control: the control tokens, at the beginning of the vocabulary.
        prefix: whether to put a space in front of a text; Gemma does not.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    special = [*control, *BYTES]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    spaces = normalizers.Replace(" ", "▁")
    front = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*front, spaces])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(
        [*steps, *([decoders.Strip(" ", 1, 0)] if prefix else [])]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE + len(special), special_tokens=special, show_progress=False
    )
    # Words are separate in training, as in sentencepiece: no piece spans a space.
    words = [word for line in CORPUS for word in line.split()]
    tokenizer.train_from_iterator(words if prefix else [f" {word}" for word in words], trainer)
    return _changed(tokenizer, added_tokens=[])


def unigram(control: Sequence[str]) -> Tokenizer:
    """Return a tokenizer like those of T5 and llm-jp: Unigram, with control tokens as pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=SIZE, special_tokens=[*control, *BYTES], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _changed(tokenizer, added_tokens=[], byte_fallback=True)


def _changed(tokenizer: Tokenizer, *, added_tokens: list[Any], **model: Any) -> Tokenizer:
    """Return a tokenizer with other added tokens, or other settings of its model."""
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = added_tokens
    state["model"] |= model
    return type(tokenizer).from_str(json.dumps(state))
