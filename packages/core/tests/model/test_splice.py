"""Feature vectors land in their own slots, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmmodal.errors import SpliceError
from mmmodal.model.generation import repeat_per_sample
from mmmodal.model.splice import Features, splice

D = 8


def make_batch(seed: int = 0) -> tuple[Tensor, Tensor, dict[str, int]]:
    """Three samples: image, image + audio, text only (1 marks image slots, 2 audio slots)."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.tensor([[0, 1, 1, 1, 0, 0, 0], [0, 2, 2, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]])
    return torch.randn(3, 7, D, generator=generator), kinds, {"image": 1, "audio": 2}


def make_features(lengths: list[int], seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(torch.randn(sum(lengths), D, generator=generator), lengths)


def concatenated(
    embeddings: Tensor, kinds: Tensor, ids: dict[str, int], given: dict[str, Features]
) -> Tensor:
    """Build the same by walking over every token: slow, and obvious."""
    upcoming = {ids[name]: iter(features.values) for name, features in given.items()}
    rows = []
    for sample in range(len(kinds)):
        tokens = []
        for position, kind in enumerate(kinds[sample].tolist()):
            tokens.append(next(upcoming[kind]) if kind else embeddings[sample, position])
        rows.append(torch.stack(tokens))
    return torch.stack(rows)


def test_splice_equals_walking_over_every_token() -> None:
    embeddings, kinds, ids = make_batch()
    given = {"image": make_features([3, 1, 2], 1), "audio": make_features([2], 2)}
    slots = {name: kinds == id_ for name, id_ in ids.items()}
    expected = concatenated(embeddings, kinds, ids, given)
    assert torch.equal(splice(embeddings, slots, given), expected)


def test_gradient_reaches_only_the_features_of_the_own_sample() -> None:
    embeddings, kinds, ids = make_batch()
    image = make_features([3, 3], 1)
    image.values.requires_grad_()
    given = {"image": image, "audio": make_features([2], 2)}
    result = splice(embeddings, {name: kinds == id_ for name, id_ in ids.items()}, given)
    result[0].sum().backward()
    gradient = image.values.grad
    assert gradient is not None
    assert torch.equal(gradient[:3], torch.ones(3, D))
    assert torch.equal(gradient[3:], torch.zeros(3, D))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3], "sample 1 of the batch has 3 image slots, but only 0"),
        ([3, 2], "sample 1 of the batch has 3 image slots, but only 2"),
        ([2, 3], r"sample 0 of the batch has 3 image slots, but its items up to number 2 have 5"),
        ([4, 2], "sample 0 of the batch has 3 image slots"),
        ([3, 3, 1], r"1 image item\(s\) have no slots"),
    ],
)
def test_a_mismatch_names_the_sample(lengths: list[int], message: str) -> None:
    embeddings, kinds, ids = make_batch()
    with pytest.raises(SpliceError, match=message):
        splice(embeddings, {"image": kinds == ids["image"]}, {"image": make_features(lengths, 1)})


def test_media_are_repeated_sample_by_sample() -> None:
    items = [torch.full((2, 1), float(i)) for i in range(3)]
    repeated = repeat_per_sample(items, [4, 0, 2], 2)
    assert [int(item[0]) for item in repeated] == [0, 1, 0, 1, 2, 2]
