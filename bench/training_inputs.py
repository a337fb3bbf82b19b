"""The inputs of `bench/training.py`: a model with random weights, and two kinds of records."""

from __future__ import annotations

import json
import random
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Shape:
    """The sizes of model and data."""

    layers: int = 8
    width: int = 256
    vocabulary: int = 32_000
    picture: int = 384  # pixels; 576 patches of 16
    chunk: int = 30  # seconds of a window
    tower_width: int = 64
    tower_layers: int = 12
    records: int = 96
    seconds: tuple[int, int] = (2, 30)
    words: tuple[int, int] = (20, 400)
    align_tokens: int = 4096
    instruct_tokens: int = 8192
    rounds: int = 5

    def tokens(self, stage: str) -> int:
        """Return the number of tokens of a pack."""
        return self.align_tokens if stage == "align" else self.instruct_tokens


QUICK = Shape(2, 64, 2000, 64, 2, 16, 2, 12, (1, 3), (5, 40), 1024, 1024, 2)


def write_parts(folder: Path, shape: Shape) -> None:
    """Write a model with random weights, and its language model as a separate folder."""
    import torch
    from tokenizers import AddedToken
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    import mmmodal
    from mmmodal_playground.tiny import tiny_siglip, tiny_whisper
    from mmmodal_playground.tiny_language import tiny_language_model

    torch.manual_seed(0)
    language = tiny_language_model(folder / "language", "llama")
    tokenizer = AutoTokenizer.from_pretrained(language)
    more = range(shape.vocabulary - len(tokenizer))
    tokenizer.add_tokens([AddedToken(f"word{i}.", lstrip=True) for i in more])
    tokenizer.save_pretrained(language)
    config = AutoConfig.for_model(
        "llama",
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=11 * shape.width // 4,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.width // 32,
        num_key_value_heads=shape.width // 64,
        max_position_embeddings=shape.instruct_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(language)
    sizes: dict[str, Any] = {"layers": shape.tower_layers}
    siglip = tiny_siglip(
        folder / "siglip",
        image_size=shape.picture,
        patch_size=16,
        hidden_size=shape.tower_width,
        **sizes,
    )
    whisper = tiny_whisper(
        folder / "whisper", d_model=shape.tower_width, chunk_length=shape.chunk, **sizes
    )
    encoders = {"image": f"siglip:{siglip}", "audio": f"whisper:{whisper}"}
    mmmodal.compose(folder / "model", backbone=f"auto:{language}", encoders=encoders)
    mmmodal.compose(folder / "alone", backbone=f"auto:{language}")


def write_data(path: Path, shape: Shape) -> None:
    """Write records of the kind that is the name of the folder of `path`."""
    from mmmodal_playground.records import make_records

    if path.parent.name == "playground":
        make_records(path.parent, shape.records)
    else:
        write_mixed(path.parent, shape)


def write_mixed(folder: Path, shape: Shape) -> None:
    """Write conversations shaped like the paper's: 1 to 4 media, short and long ones."""
    chance = random.Random(0)
    (folder / "media").mkdir(parents=True)
    rows = [_mixed_row(folder, f"{index}", shape, chance) for index in range(shape.records)]
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _mixed_row(folder: Path, name: str, shape: Shape, chance: random.Random) -> dict[str, Any]:
    media, messages = [], []
    turns = chance.randint(1, 4)
    words = chance.randint(*shape.words) // turns
    for turn in range(turns):
        kind = chance.choice(("image", "audio"))
        suffix, write = {"image": (".jpg", _noise), "audio": (".wav", _hiss)}[kind]
        uri = f"media/{name}-{turn}{suffix}"
        write(folder / uri, shape, chance)
        media.append({"kind": kind, "uri": uri})
        asked = [{"type": kind, "media": turn}, _said(1 + words // 4, shape, chance)]
        messages.append({"role": "user", "content": asked})
        answer = [_said(1 + 3 * words // 4, shape, chance)]
        messages.append({"role": "assistant", "content": answer})
    return {"id": name, "messages": messages, "media": media}


def _said(words: int, shape: Shape, chance: random.Random) -> dict[str, str]:
    spoken = (f"word{chance.randrange(shape.vocabulary // 2)}." for _ in range(words))
    return {"type": "text", "text": " ".join(spoken)}


def _noise(path: Path, shape: Shape, chance: random.Random) -> None:
    from PIL import Image

    pixels = Image.frombytes("RGB", (40, 30), chance.randbytes(3600))
    pixels.resize((640, 480)).save(path)


def _hiss(path: Path, shape: Shape, chance: random.Random) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(chance.randbytes(2 * int(16_000 * chance.uniform(*shape.seconds))))
