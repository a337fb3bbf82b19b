"""A mixture of datasets as PyTorch's data loader takes it."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from mmmodal.data.mixing import Mixture

__all__ = ["MixtureSampler"]


class MixtureSampler(Sampler[int]):
    """The records of one epoch, in its order."""

    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._mixture)

    def __iter__(self) -> Iterator[int]:
        yield from self._mixture.epoch(self._epoch).tolist()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self._epoch = epoch
