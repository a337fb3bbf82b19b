"""Whisper in OpenAI's format: a `.pt` file, or a name that openai-whisper downloads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.authoring.parts import PartError
from mmmodal.authoring.pretrained import Checkpoint, read_pickled
from mmmodal_audio_whisper.formats import openai_cache
from mmmodal_audio_whisper.formats.openai_names import openai_name
from mmmodal_audio_whisper.sizes import SIZES, Size

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import WhisperConfig

__all__ = ["OpenaiFile", "OpenaiModel"]

BLOCKS = "encoder.blocks."


class _Openai(Checkpoint["WhisperConfig"]):
    def preprocessing(self) -> dict[str, Any]:
        """Return openai-whisper's constants, which are the same for all models."""
        from whisper import audio  # type: ignore[import-untyped, unused-ignore]

        return {
            "sampling_rate": audio.SAMPLE_RATE,
            "n_fft": audio.N_FFT,
            "hop_length": audio.HOP_LENGTH,
        }


class OpenaiFile(_Openai):
    """A file with the `dims` of a whole model and its `model_state_dict`, of any precision."""

    def config(self) -> WhisperConfig:
        """Return the config of the encoder, from `dims`."""
        return self.size().config()

    def size(self) -> Size:
        """The encoder's size, after comparing it with the tensors."""
        size, held = self._read()
        for name, shape in {
            "encoder.conv1.weight": (size.width, size.mel_bins, 3),
            "encoder.positional_embedding": (size.positions, size.width),
        }.items():
            self._tensor(held, name, shape)
        blocks = {name.split(".")[2] for name in map(str, held) if name.startswith(BLOCKS)}
        if len(blocks) != size.layers:
            raise PartError(
                f"{self.source}: its dims set {size.layers} layers, but it holds {len(blocks)}"
            )
        return size

    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors mapped to memory, in the precision of the file."""
        _, held = self._read()
        for name, shape in shapes.items():
            yield name, self._tensor(held, f"encoder.{openai_name(name)}", shape)

    def download_size(self) -> list[tuple[str, int]] | None:
        """Return an empty list: nothing is downloaded."""
        return []

    def _read(self) -> tuple[Size, dict[str, Any]]:
        from whisper.model import (  # type: ignore[import-untyped, unused-ignore]
            ModelDimensions,
        )

        found = read_pickled(Path(self.source))
        if not isinstance(found, dict):
            raise PartError(self._unknown(type(found).__name__))
        keys = ", ".join(sorted(map(repr, found))[:5])
        try:
            dims, held = ModelDimensions(**found["dims"]), found["model_state_dict"]
        except (KeyError, TypeError):
            raise PartError(self._unknown(keys)) from None
        sizes = (dims.n_audio_state, dims.n_audio_layer, dims.n_audio_head)
        size = Size(*sizes, dims.n_mels, dims.n_audio_ctx)
        counts = all(type(value) is int and value > 0 for value in vars(size).values())
        if not counts or not isinstance(held, dict):
            raise PartError(self._unknown(keys))
        return size, held

    def _unknown(self, found: str) -> str:
        return (
            f"{self.source} is not a checkpoint of openai-whisper, which holds `dims` and "
            f"`model_state_dict`; found {found}"
        )

    def _tensor(self, held: Mapping[str, Any], name: str, shape: Sequence[int]) -> Tensor:
        import torch

        found = held.get(name)
        if not isinstance(found, torch.Tensor) or not found.is_floating_point():
            raise PartError(f"{self.source}: {name!r} is missing from its weights")
        if list(found.shape) != list(shape):
            raise PartError(
                f"{self.source}: {name!r} has shape {list(found.shape)}, but its dims require "
                f"{list(shape)}"
            )
        return found


class OpenaiModel(_Openai):
    """A model by openai-whisper's name; its config is known without the file."""

    def config(self) -> WhisperConfig:
        """Return the config from the table of sizes, or from the file of a newer model."""
        size = self._published()
        return size.config() if size else self._file().config()

    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of the file, which is downloaded unless it exists."""
        file = self._file()
        if self._published() not in (None, file.size()):
            raise PartError(f"{file.source} does not have the size of {self.source!r}; remove it")
        yield from file.tensors(shapes)

    def download_size(self) -> list[tuple[str, int]] | None:
        """Return the file to download and its size, unless it exists."""
        return openai_cache.download_size(self.source)

    def _published(self) -> Size | None:
        # By the file, not the name, as `large` is always the newest one.
        return SIZES.get(openai_cache.target(self.source).stem.removesuffix(".en"))

    def _file(self) -> OpenaiFile:
        return OpenaiFile(str(openai_cache.fetch(self.source)))
