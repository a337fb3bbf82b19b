"""Compute the memory of DeepSpeed's ZeRO on a GPU and in the machine.

See arXiv 1910.02054 and 2101.06840.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Zero"]

BUCKET = 5 * 10**8
"""DeepSpeed's default for the number of elements in a bucket of gradients."""

LIVE = 10**9
"""DeepSpeed's default for the number of parameters that stage 3 gathers at a time."""


@dataclass(frozen=True)
class Zero:
    """The settings of a DeepSpeed configuration that affect memory."""

    stage: int
    offloads_optimizer: bool
    offloads_weights: bool
    bucket: int
    live: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Zero:
        """Return the settings of a configuration."""
        section = config.get("zero_optimization", {})
        return cls(
            stage=int(section.get("stage", 0)),
            offloads_optimizer=_device(section, "offload_optimizer") != "none",
            offloads_weights=_device(section, "offload_param") != "none",
            bucket=_number(section.get("reduce_bucket_size"), BUCKET),
            live=_number(section.get("stage3_max_live_parameters"), LIVE),
        )

    def share(self, weights: int, trained: int, size: int, ranks: int) -> dict[str, int]:
        """Return the bytes on one GPU, and in the machine for all of `ranks` GPUs.

        Args:
            weights: the bytes of all weights, in the precision of arithmetic.
            trained: the number of trained parameters.
            size: the bytes of one of them, in the precision of arithmetic.
            ranks: the number of GPUs.
        """
        parts = ranks if self.stage >= 1 else 1
        # A master copy and two moments in fp32; offloaded, also gradients and updated weights.
        optimizer = 12 * trained // parts
        host = ranks * (optimizer + (4 + size) * trained // parts) if self.offloads_optimizer else 0
        gradients = size * trained // (ranks if self.stage >= 2 else 1)
        if self.offloads_optimizer:
            gradients = 0
        # Gradients are collected in buckets; in stage 2 one is sent while the other is filled.
        gradients += {2: 2, 3: 1}.get(self.stage, 0) * size * self.bucket
        if self.stage == 3:
            gathered = min(weights, size * self.live)
            host += weights if self.offloads_weights else 0
            weights = gathered + (0 if self.offloads_weights else weights // ranks)
        return {
            "weights": weights,
            "gradients": gradients,
            "optimizer": 0 if self.offloads_optimizer else optimizer,
            "host": host,
        }


def _device(section: Mapping[str, Any], key: str) -> str:
    return str((section.get(key) or {}).get("device", "none"))


def _number(value: Any, default: int) -> int:
    return default if value in (None, "auto") else int(value)
