"""Common data of tests: pictures, clips, tiny models, conversations with them, files of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import mmmodal
from mmmodal.conversation.layout import MarkerIds
from mmmodal.conversation.rendering import Renderer
from mmmodal.modalities.audio import Waveform
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.testing.languages import tiny_tokenizer
from mmmodal_playground.tiny import tiny_siglip, tiny_whisper
from mmmodal_playground.tiny_language import FAMILIES, tiny_language_model

__all__ = [
    "MARKERS",
    "PAPER_EXAMPLES",
    "RATE",
    "ROOT",
    "answers",
    "batch_of",
    "clip",
    "compose",
    "digest_of",
    "encoders_of",
    "gradient",
    "logged",
    "logits_of",
    "picture",
    "read_lines",
    "record",
    "renderer_of",
    "tiny_parts",
    "user",
    "write_lines",
]

ROOT = Path(__file__).parents[2]
"""The folder of the whole repository."""

PAPER_EXAMPLES = ROOT / "packages/core/tests/data/paper_examples.jsonl"
"""Rows that the paper's authors published."""

RATE = 16_000  # Hz
MARKERS = ["<image>", "</image>", "<|image|>"]
"""The tokens of a picture."""

SOURCES = {"image": "siglip", "audio": "whisper"}
"""The encoder of each modality in tiny models."""


def picture(seed: int = 0, size: tuple[int, int] = (50, 40)) -> Image.Image:
    """Return coloured noise of a width and height, which depends on the seed."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def gradient(width: int, height: int) -> Image.Image:
    """Return a picture with three channels that increase in three directions."""
    across, down = Image.linear_gradient("L").rotate(90), Image.linear_gradient("L")
    merged = Image.merge("RGB", (across, down, Image.radial_gradient("L")))
    return merged.resize((width, height))


def clip(seed: int = 0, seconds: float = 0.5, rate: int = RATE) -> Waveform:
    """Return a chord with some noise, which depends on the seed."""
    samples = max(1, round(seconds * rate))
    time = np.arange(samples) / rate
    noise = np.random.default_rng(seed).normal(0, 0.02, samples)
    tones = sum(np.sin(2 * np.pi * tone * (1 + seed) * time) for tone in (110, 440, 1200))
    return Waveform((0.2 * tones + noise).astype(np.float32), rate)


def tiny_parts(root: Path) -> dict[str, Path]:
    """Write parts with random weights: `siglip`, `whisper` and a language model of each family."""
    folders = {family: tiny_language_model(root / family, family) for family in FAMILIES}
    folders["siglip"] = tiny_siglip(root / "siglip")
    folders["whisper"] = tiny_whisper(root / "whisper")
    return folders


def encoders_of(parts: Mapping[str, Path], *kinds: str) -> dict[str, str]:
    """Return the encoders of tiny parts for the named modalities; by default for both."""
    return {kind: f"{SOURCES[kind]}:{parts[SOURCES[kind]]}" for kind in kinds or SOURCES}


def compose(
    language_model: Path,
    parts: Mapping[str, Path],
    out: Path | None = None,
    *,
    kinds: Iterable[str] = tuple(SOURCES),
    **changes: Any,
) -> MMModalForConditionalGeneration:
    """Return a language model composed with the encoders of tiny parts, with deterministic weights.

    Args:
        language_model: the folder of the language model.
        parts: folders of `tiny_parts`.
        out: the folder to write; by default the model is not written.
        kinds: its modalities.
        changes: further arguments of `mmmodal.compose`.
    """
    given = {"backbone": f"auto:{language_model}", "encoders": encoders_of(parts, *kinds)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return mmmodal.compose(out, **given | changes)


def renderer_of(tokenizer: Any) -> Renderer:
    """Return a renderer of conversations about pictures, for a tokenizer or a family's name."""
    if isinstance(tokenizer, str):
        tokenizer = tiny_tokenizer(tokenizer)
    tokenizer.add_tokens(MARKERS, special_tokens=True)
    return Renderer(tokenizer, {"image": MarkerIds(*tokenizer.convert_tokens_to_ids(MARKERS))})


def user(*content: str | Image.Image | Waveform | Mapping[str, Any]) -> dict[str, Any]:
    """Return a user message of texts, pictures, clips and parts."""
    return {"role": "user", "content": [_part(each) for each in content]}


def _part(content: str | Image.Image | Waveform | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(content, str):
        return {"type": "text", "text": content}
    if isinstance(content, Image.Image):
        return {"type": "image", "image": content}
    if isinstance(content, Waveform):
        return {"type": "audio", "audio": content}
    return dict(content)


def batch_of(model: MMModalForConditionalGeneration, chats: list[Any]) -> Any:
    """Return the model's input for conversations to answer."""
    return model.processor.apply_chat_template(
        chats, tokenize=True, return_dict=True, add_generation_prompt=True
    )


def logits_of(model: MMModalForConditionalGeneration, chat: list[Any]) -> torch.Tensor:
    """Return the logits of one conversation: [T, V]."""
    with torch.no_grad():
        logits: torch.Tensor = model(**batch_of(model, [chat])).logits[0]
    return logits


def answers(
    model: MMModalForConditionalGeneration, chats: list[Any], settings: Mapping[str, Any]
) -> list[list[int]]:
    """Return the ids of the answers, of six tokens each."""
    batch = batch_of(model, chats)
    output = model.generate(**batch, max_new_tokens=6, min_new_tokens=6, **settings)
    ids: list[list[int]] = output[:, batch["input_ids"].shape[1] :].tolist()
    return ids


def record(
    name: str, *media: tuple[str, str], asked: str = "", answer: str = "ok", **changes: Any
) -> dict[str, Any]:
    """Return the row of a conversation about media; each medium is a kind and a path."""
    shown: list[Any] = [{"type": kind, "media": index} for index, (kind, _) in enumerate(media)]
    shown += [{"type": "text", "text": asked}] if asked else []
    said = [{"type": "text", "text": answer}]
    return {
        "id": name,
        "messages": [{"role": "user", "content": shown}, {"role": "assistant", "content": said}],
        "media": [{"kind": kind, "uri": uri} for kind, uri in media],
        **changes,
    }


def write_lines(path: Path, rows: Iterable[str | Mapping[str, Any]]) -> Path:
    """Write one row per line; texts are written unchanged, other values as JSON."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[Any]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def logged(out: Path) -> list[dict[str, Any]]:
    """Return the logs of a stage with a loss."""
    return [row for row in read_lines(out / "run/metrics.jsonl") if "loss" in row]


def digest_of(folder: Path) -> str:
    """Return a digest of the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()
