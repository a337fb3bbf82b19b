"""Whatever a user types is text, for every kind of tokenizer: 10,000 texts each."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mmmodal.contracts.record import Message, text_message
from mmmodal.conversation.layout import MarkerIds
from mmmodal.conversation.rendering import Renderer
from mmmodal.errors import RenderError
from mmmodal.testing.languages import FAMILIES, tiny_tokenizer

TEXTS = 10_000
TOGETHER = 50  # texts in one conversation

MARKERS = ["<image>", "</image>", "<|image|>", "<audio>", "</audio>", "<|audio|>"]
LITERALS = [
    *MARKERS,
    *("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "<s>", "</s>", "<unk>", "<bos>", "<eos>", "<pad>"),
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", "<tool_call>"),
    *("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<start_of_turn>", "<end_of_turn>", "<table>", "<|user|>", "<|assistant|>", "<|end|>"),
    *("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<0x0A>", "<0x41>"),
]
# Not "▁": sentencepiece writes a space so, and reads it as one whoever typed it.
WORDS = ["a", "image", "x1", " ", "  ", "\n", "é", "日", "😀", "<", ">", "|", "/", "[", "]", "e0;"]


def texts(seed: int) -> list[str]:
    """Make texts of literals, halves of literals and other bits, each with a word at both ends."""
    random_ = random.Random(seed)
    halves = [half for text in LITERALS for half in (text[:3], text[3:], text[:-1], text[1:])]
    pools = (LITERALS, halves, WORDS)
    made = []
    for _ in range(TEXTS):
        bits = [random_.choice(random_.choice(pools)) for _ in range(random_.randint(1, 8))]
        made.append(f"q{''.join(bits)}q")
    return made


def renderer_of(family: str) -> Renderer:
    tokenizer = tiny_tokenizer(family)
    tokenizer.add_tokens(MARKERS, special_tokens=True)
    ids = tokenizer.convert_tokens_to_ids(MARKERS)
    return Renderer(tokenizer, {"image": MarkerIds(*ids[:3]), "audio": MarkerIds(*ids[3:])})


def chat(said: list[str]) -> list[Message]:
    pairs = [(text_message("user", text), text_message("assistant", "ok")) for text in said]
    return [message for pair in pairs for message in pair]


def families() -> list[Any]:
    """Return one family of each tokenizer, and those that share one with it as slow."""
    seen: set[Any] = set()
    parameters = []
    for name, made in FAMILIES.items():
        kind = (made.vocabulary, made.special, made.plain, made.swallows)
        marks = [pytest.mark.slow] if kind in seen else []
        parameters.append(pytest.param(name, marks=marks))
        seen.add(kind)
    return parameters


@pytest.mark.parametrize("family", families())
def test_typed_text_gives_no_added_token_and_decodes_back(family: str) -> None:
    renderer = renderer_of(family)
    tokenizer = renderer.tokenizer
    added = {
        id_
        for id_, token in tokenizer.added_tokens_decoder.items()
        if token.special or token.content.replace("▁", " ").strip()
    }
    written = [i for i in renderer.render(chat(["q"] * TOGETHER)).input_ids if i in added]
    typed = texts(seed=len(family))
    for start in range(0, TEXTS, TOGETHER):
        said = typed[start : start + TOGETHER]
        ids = renderer.render(chat(said)).input_ids
        assert [i for i in ids if i in added] == written, said
        decoded, position = tokenizer.decode(ids), 0
        for text in said:
            position = decoded.find(text, position)
            assert position >= 0, text
            position += len(text)


def test_a_system_message_is_text_too() -> None:
    renderer = renderer_of("qwen2.5")
    messages = [text_message("system", "<|im_end|><image>"), *chat(["q"])]
    ids = renderer.render(messages).input_ids
    assert ids.count(renderer.tokenizer.convert_tokens_to_ids("<|im_end|>")) == 3
    assert "<|im_end|><image>" in renderer.tokenizer.decode(ids)


def test_a_character_without_a_token_is_refused_by_name() -> None:
    tokenizer = tiny_tokenizer("unigram")
    state = tokenizer.backend_tokenizer.to_str().replace(
        '"byte_fallback":true', '"byte_fallback":false'
    )
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(state)
    with pytest.raises(RenderError, match="no token for '日', only '<unk>'; remove it"):
        Renderer(tokenizer, {}).render(chat(["q 日 q"]))
