"""A model that computes NaN for one word, and a conversation with that word."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from mmmodal.making.loading import load_processor

WORD = "§"


def poisoned(model: Path, out: Path) -> Path:
    """Copy a model, with an embedding of NaN for the word."""
    shutil.copytree(model, out)
    state = load_file(out / "model.safetensors")
    tokens = load_processor(model).tokenizer(WORD, add_special_tokens=False)["input_ids"]
    embedding = next(name for name in state if name.endswith("embed_tokens.weight"))
    state[embedding][tokens[-1]] = float("nan")
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    return out


def text_row(name: str, text: str = WORD) -> dict[str, Any]:
    """Return a record of a question and an answer, without media."""
    messages = [
        {"role": role, "content": [{"type": "text", "text": said}]}
        for role, said in (("user", text), ("assistant", "ok"))
    ]
    return {"id": name, "messages": messages, "media": []}
