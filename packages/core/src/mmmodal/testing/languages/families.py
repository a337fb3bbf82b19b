"""Tiny language models of each family: tokenizer, chat template and network, with random weights.

The tokenizers have the family's type and special tokens; the templates were written from the
documented turn formats. Nothing is downloaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.backbones.auto import with_variables
from mmmodal.testing.languages import vocabularies

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

__all__ = ["FAMILIES", "Family", "tiny_tokenizer"]


@dataclass(frozen=True)
class Family:
    """The tokenizer and chat format of a family of language models."""

    architecture: str
    """Its `model_type` in transformers."""

    vocabulary: Callable[[], Tokenizer]
    template: str
    """The file of its chat template, without the suffix."""

    tokens: Mapping[str, str]
    """Its tokens with a role: `eos_token` …"""

    special: tuple[str, ...] = ()
    """Its other special tokens."""

    plain: tuple[str, ...] = ()
    """Its added tokens that are not special, which a decoded text shows."""

    variables: Mapping[str, bool | str] = field(default_factory=dict)
    """The variables that distinguish its template from others of the same file."""

    swallows: bool = False
    """Whether its special tokens include the white space after them."""


CHATML = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
GEMMA = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
CONTROL = ("<unk>", "<s>", "</s>")
INST = ("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")
THOUGHT = ("<think>", "</think>", "<tool_call>", "</tool_call>")
BLANK = (*("\n" * count for count in range(1, 5)), *("▁" * count for count in range(2, 5)))
SPACES: dict[str, bool | str] = {
    "before": "",
    "after": "",
    "answer": "",
    "behind": "",
    "system": False,
    "merged": "",
}
HARMONY = tuple(
    f"<|{name}|>" for name in ("start", "end", "message", "channel", "constrain", "call")
)

_qwen = functools.partial(vocabularies.byte_level, "qwen", composed=True)
_llama3 = functools.partial(vocabularies.byte_level, "llama3", ignore_merges=True)
_llama2 = functools.partial(vocabularies.sentencepiece, CONTROL)
_gemma = functools.partial(
    vocabularies.sentencepiece,
    ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", *BLANK, "<table>"),
    prefix=False,
)

FAMILIES: dict[str, Family] = {
    "qwen1.5": Family(
        *("qwen2", _qwen, "chatml", CHATML, ("<|im_start|>",)),
        variables={"default_system": "You are a helpful assistant."},
    ),
    "qwen2.5": Family(
        *("qwen2", _qwen, "chatml", CHATML, ("<|im_start|>",), THOUGHT[2:]),
        variables={"default_system": "You are Qwen, a helpful assistant."},
    ),
    "qwen3": Family("qwen3", _qwen, "qwen3", CHATML, ("<|im_start|>",), THOUGHT),
    "qwen3-no-thinking": Family(
        *("qwen3", _qwen, "qwen3", CHATML, ("<|im_start|>",), THOUGHT),
        variables={"enable_thinking": False},
    ),
    "qwen3-thinking": Family(
        *("qwen3", _qwen, "qwen3", CHATML, ("<|im_start|>",), THOUGHT),
        variables={"opens_thought": True},
    ),
    "deepseek-r1": Family(
        *("qwen2", _qwen, "deepseek-r1"),
        {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
        *(("<｜User｜>", "<｜Assistant｜>"), THOUGHT[:2]),
        variables={"opens_thought": True},
    ),
    "gpt-oss": Family(
        *("gpt_oss", _llama3, "harmony"),
        {"eos_token": "<|return|>", "pad_token": "<|endoftext|>"},
        HARMONY,
    ),
    "smollm2": Family(
        *("llama", _llama3, "chatml", CHATML, ("<|im_start|>",)),
        variables={"default_system": "You are a helpful AI assistant named SmolLM."},
    ),
    "smollm3": Family("smollm3", _llama3, "smollm3", CHATML, ("<|im_start|>",), THOUGHT),
    "smollm3-no-thinking": Family(
        *("smollm3", _llama3, "smollm3", CHATML, ("<|im_start|>",), THOUGHT),
        variables={"enable_thinking": False},
    ),
    "tinyllama": Family("llama", _llama2, "zephyr", LLAMA),
    "mistral-v0.1": Family(
        *("mistral", _llama2, "inst", LLAMA),
        variables={**SPACES, "before": " ", "after": " ", "behind": " ", "merged": "first"},
    ),
    "mistral-v0.2": Family(
        *("mistral", _llama2, "inst", LLAMA),
        variables={**SPACES, "before": " ", "after": " ", "answer": " ", "merged": "first"},
    ),
    "mistral-v0.3": Family(
        "mistral",
        functools.partial(vocabularies.sentencepiece, (*CONTROL, *INST[:2])),
        *("inst", LLAMA, INST[:2]),
        variables={**SPACES, "before": " ", "answer": " ", "merged": "last"},
    ),
    "mistral-tekken": Family(
        *("mistral", _llama3, "inst", LLAMA, INST),
        variables={**SPACES, "system": True},
    ),
    "llama3": Family(
        *("llama", _llama3, "llama3"),
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        ("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
        variables={"dated": False},
    ),
    "llama3.2": Family(
        *("llama", _llama3, "llama3"),
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        ("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
        variables={"dated": True},
    ),
    "gemma2": Family(
        *("gemma2", _gemma, "gemma", GEMMA, ("<start_of_turn>", "<end_of_turn>")),
        (*BLANK, "<table>"),
        variables={"merges_system": False},
    ),
    "gemma3": Family(
        *("gemma3_text", _gemma, "gemma", GEMMA, ("<start_of_turn>", "<end_of_turn>")),
        (*BLANK, "<table>"),
        variables={"merges_system": True},
    ),
    "phi3": Family(
        *("phi3", _llama2, "phi"),
        {"bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<unk>"},
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        variables={"newline": "\n"},
        swallows=True,
    ),
    "phi4": Family(
        *("phi3", _qwen, "phi"),
        {"eos_token": "<|endoftext|>"},
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        variables={"newline": ""},
    ),
    "granite": Family(
        *("granite", _llama3, "granite"),
        {"eos_token": "<|end_of_text|>"},
        ("<|start_of_role|>", "<|end_of_role|>"),
    ),
    "unigram": Family(
        "llama",
        functools.partial(vocabularies.unigram, (*CONTROL, "[INST]", "[/INST]")),
        *("inst", LLAMA, ("[INST]", "[/INST]")),
        variables={**SPACES, "before": " ", "after": " ", "answer": " "},
    ),
}
"""The families of the presets of mmmodal-backbones, and one whose vocabulary spells its markup."""


def tiny_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of a family, with its chat template."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    made = FAMILIES[family]
    template = Path(__file__).parent / "templates" / f"{made.template}.jinja"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made.vocabulary(),
        chat_template=with_variables(template.read_text(encoding="utf-8"), made.variables),
        clean_up_tokenization_spaces=False,
        **made.tokens,
    )
    special = [
        AddedToken(text, rstrip=made.swallows, normalized=False, special=True)
        for text in made.special
    ]
    tokenizer.add_tokens(special, special_tokens=True)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in made.plain])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
