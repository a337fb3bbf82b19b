"""The optimizer of the language model steps as the one of `torch.optim` does."""

from __future__ import annotations

import torch

from mmmodal_playground.build.muon import Muon


def test_it_steps_as_torch_does_but_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((24, 16), (16, 24), (16, 16))]
    gradients = [[torch.randn(x.shape, generator=generator) for x in start] for _ in range(3)]
    ended = []
    for make in (
        lambda matrices: Muon(matrices, lr=0.1),
        lambda matrices: torch.optim.Muon(
            matrices, lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        ),
    ):
        matrices = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        optimizer = make(matrices)
        for step in gradients:
            for matrix, gradient in zip(matrices, step, strict=True):
                matrix.grad = gradient.clone()
            optimizer.step()
        ended.append([matrix.detach() for matrix in matrices])
    for ours, theirs, before in zip(*ended, start, strict=True):
        moved = (theirs - before).norm()
        assert (ours - theirs).norm() < 0.02 * moved  # what bfloat16 rounds off


def test_a_matrix_without_a_gradient_stays() -> None:
    matrices = [torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2)]
    matrices[0].grad = torch.eye(4)
    Muon(matrices, lr=0.1).step()
    assert torch.equal(matrices[1], torch.ones(4, 4))
    assert not torch.equal(matrices[0], torch.ones(4, 4))
