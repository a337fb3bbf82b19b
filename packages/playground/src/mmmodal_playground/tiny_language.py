"""Tiny language models of real architectures with random weights, as folders of transformers.

Each has a tokenizer of its family, trained on a few sentences, and a chat template in the family's
documented format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["FAMILIES", "tiny_language_model"]

CORPUS = (
    "What is related between image 1 and audio 1?",
    "Apakah yang berkaitan antara gambar 1 dan audio 2?",
    "The first picture shows a red circle above a blue square.",
    "Gambar itu menunjukkan segi tiga kuning di sebelah bulatan merah.",
    "Both clips say the same words; the second one is slower.",
    "Dalam audio ini penceramah berkata selamat pagi dan terima kasih.",
    "Hello! Describe the image, please. Yes. No. Ya. Tidak.",
    "0 1 2 3 4 5 6 7 8 9",
    "<|im_start|>system user assistant <|im_end|> [INST] [/INST] <|user|> <|assistant|>",
    "What is in picture {n}?",
    "A {colour} {shape}.",
    "What do you hear in audio {n}?",
    "{count} {pitch} beeps.",
    "Do pictures {a} and {b} show the same colour?",
    "Yes.",
    "No.",
    "red green blue yellow circle square triangle low high",
    "merah hijau biru kuning bulatan segi empat segi tiga rendah tinggi",
    "Apa yang ada dalam gambar {n}?",
    "{shape} {colour}.",
    "Apa yang anda dengar dalam audio {n}?",
    "{count} bunyi {pitch}.",
    "Adakah gambar {a} dan {b} sama warna?",
    "Ya.",
    "Tidak.",
)

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] "
    "+ eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)

INST = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)


def _byte_level(size: int) -> Tokenizer:
    """Return a tokenizer like those of Qwen and Llama 3: bytes, without a prefix space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _sentencepiece(size: int) -> Tokenizer:
    """Return a tokenizer as in Llama 1, TinyLlama and Mistral: prefix space, byte fallback."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size + len(special), special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _only_special(tokenizer, special[:3])


def _only_special(tokenizer: Tokenizer, special: list[str]) -> Tokenizer:
    """Return a tokenizer with only `special` as added tokens: byte pieces are in the vocabulary."""
    import json

    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in special]
    return type(tokenizer).from_str(json.dumps(state))


FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {
        "tokenizer": _byte_level,
        "template": CHATML,
        "tokens": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        "extra": ["<|im_start|>"],
        "tied": True,
    },
    "llama": {
        "tokenizer": _sentencepiece,
        "template": ZEPHYR,
        "tokens": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        "extra": [],
        "tied": False,
    },
    "mistral": {
        "tokenizer": _sentencepiece,
        "template": INST,
        "tokens": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        "extra": [],
        "tied": False,
    },
}
"""The families of language models, with their tokenizers and chat templates."""


def tiny_language_model(
    folder: str | Path,
    family: str = "llama",
    *,
    hidden_size: int = 64,
    layers: int = 2,
    positions: int = 2048,
    seed: int = 0,
) -> Path:
    """Write a language model with random weights, tokenizer and chat template to `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    made = FAMILIES[family]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made["tokenizer"](640),
        additional_special_tokens=made["extra"],
        chat_template=made["template"],
        clean_up_tokenization_spaces=False,
        model_max_length=positions,
        **made["tokens"],
    )
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        tie_word_embeddings=made["tied"],
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)
