"""DeepSpeed's CPU Adam, loaded in the middle of a training, makes the very same steps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from mmmodal.train.loop.deepspeed_engine import forget_powers

adam = pytest.importorskip("deepspeed.ops.adam", reason="DeepSpeed is for Linux alone")


def optimizer(weights: list[Tensor]) -> torch.optim.Optimizer:
    groups = [{"params": [weights[0]], "weight_decay": 0.1}, {"params": [weights[1]]}]
    made: torch.optim.Optimizer = adam.DeepSpeedCPUAdam(groups, lr=0.01)
    forget_powers(made)
    return made


def train(made: torch.optim.Optimizer, weights: list[Tensor], steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        made.step()


@pytest.mark.timeout(900)  # DeepSpeed compiles it when it is first used
@pytest.mark.parametrize("loaded_at", [1, 7, 30])
def test_loaded_in_the_middle_it_goes_on_bitwise(loaded_at: int) -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(500, generator=generator) for _ in range(2)]
    straight = copy.deepcopy(start)
    train(optimizer(straight), straight, range(40))
    weights = copy.deepcopy(start)
    first = optimizer(weights)
    train(first, weights, range(loaded_at))
    second = optimizer(weights)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(second, weights, range(loaded_at, 40))
    assert all(torch.equal(one, other) for one, other in zip(weights, straight, strict=True))


def test_it_makes_the_steps_of_torchs_own_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(500, generator=generator) for _ in range(2)]
    ours, theirs = copy.deepcopy(start), copy.deepcopy(start)
    train(optimizer(ours), ours, range(40))
    groups = [{"params": [theirs[0]], "weight_decay": 0.1}, {"params": [theirs[1]]}]
    train(torch.optim.AdamW(groups, lr=0.01, weight_decay=0), theirs, range(40))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
