"""The training loop of all parts: AdamW or Muon, warm-up, cosine decay, gradient clipping."""

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
    matrices: Iterable[torch.nn.Parameter] = (),
) -> None:
    """Minimise the sum of the terms that `loss(step)` returns; each term is logged.

    Muon trains the parameters in `matrices`, at twice the learning rate; AdamW trains the others.
    """
    import torch

    trained = list(parameters)
    optimizers = _optimizers(trained, list(matrices), learning_rate)
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            optimizer.defaults["lr"],
            total_steps=steps,
            pct_start=min(0.3, WARMUP / steps),
        )
        for optimizer in optimizers
    ]
    start = time.monotonic()
    for step in range(steps):
        terms = loss(step)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        if step % EVERY == 0 or step == steps - 1:
            values = "  ".join(f"{key} {value.item():.4f}" for key, value in terms.items())
            log(f"{name} step {step}/{steps}  {values}  {time.monotonic() - start:.0f} s")


def _optimizers(
    trained: list[torch.nn.Parameter], matrices: list[torch.nn.Parameter], learning_rate: float
) -> list[torch.optim.Optimizer]:
    import torch

    from mmmodal_playground.build.muon import Muon

    known = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in trained if id(parameter) not in known]
    adam = torch.optim.AdamW(
        others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    return [adam, Muon(matrices, 2 * learning_rate)] if matrices else [adam]
