"""The one training loop of all parts: AdamW, warm-up, cosine, gradients clipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Log", "fit"]

Log = Callable[[str], None]

WARMUP = 100  # steps
EVERY = 100  # steps between lines of the log


def fit(
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    loss: Callable[[int], dict[str, Tensor]],
    *,
    steps: int,
    learning_rate: float,
    log: Log,
) -> None:
    """Minimise the sum of what `loss(step)` returns; each of its terms is logged."""
    import torch

    trained = list(parameters)
    optimizer = torch.optim.AdamW(
        trained, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=min(0.3, WARMUP / steps)
    )
    start = time.monotonic()
    for step in range(steps):
        terms = loss(step)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if step % EVERY == 0 or step == steps - 1:
            values = "  ".join(f"{key} {value.item():.4f}" for key, value in terms.items())
            log(f"{name} step {step}/{steps}  {values}  {time.monotonic() - start:.0f} s")
