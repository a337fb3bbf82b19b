"""Arrays of numpy and torch become pictures in any layout that tools return; others are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as pillow

from mmmodal.errors import MediaError
from mmmodal.modalities.image import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
GREY = PIXELS[..., 0]
ALPHA = np.dstack([PIXELS, np.full((8, 16), 255, np.uint8)])
FIRST = PIXELS.transpose(2, 0, 1)

# The object, and the pixels that it stands for.
FORMS: dict[str, tuple[Any, np.ndarray]] = {
    "a Pillow image": (pillow.fromarray(PIXELS), PIXELS),
    "channels last": (PIXELS, PIXELS),
    "channels first": (FIRST, PIXELS),
    "in another order in memory": (PIXELS[:, ::-1], PIXELS[:, ::-1]),
    "floats": (PIXELS / 255, PIXELS),
    "floats of 32 bits, channels first": ((FIRST / 255).astype(np.float32), PIXELS),
    "floats somewhat above 1": ((PIXELS / 255 * 1.0002), PIXELS),
    "with alpha": (ALPHA, PIXELS),
    "with alpha, channels first": (ALPHA.transpose(2, 0, 1), PIXELS),
    "grey": (GREY, np.dstack([GREY] * 3)),
    "grey floats": (GREY / 255, np.dstack([GREY] * 3)),
    "one channel last": (GREY[..., None], np.dstack([GREY] * 3)),
    "one channel first": (GREY[None], np.dstack([GREY] * 3)),
    "a tensor, channels first": (torch.from_numpy(FIRST.copy()), PIXELS),
    "a tensor of floats": (torch.from_numpy(FIRST / 255).float(), PIXELS),
    "a tensor that needs gradients": (torch.from_numpy(FIRST / 255).requires_grad_(), PIXELS),
    "a tensor, channels last": (torch.from_numpy(PIXELS), PIXELS),
    "one row": (PIXELS[:1], PIXELS[:1]),
    "one pixel": (PIXELS[:1, :1], PIXELS[:1, :1]),
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_are_converted(form: str) -> None:
    given, expected = FORMS[form]
    image = Image().convert(given)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), expected)


def test_a_tensor_of_bfloat16_is_read_as_exactly_as_it_is() -> None:
    image = np.asarray(Image().convert(torch.from_numpy(FIRST / 255).bfloat16()))
    assert np.abs(image.astype(int) - PIXELS).max() <= 1


def test_transparent_pixels_are_laid_on_white() -> None:
    clear = ALPHA * np.array([1, 1, 1, 0], np.uint8)
    assert np.asarray(Image().convert(clear)).min() == 255


def test_array_is_copied_not_shared() -> None:
    array = PIXELS.copy()
    image = Image().convert(array)
    array[:] = 0
    assert np.array_equal(np.asarray(image), PIXELS)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("given", "code", "reason"),
    [
        (np.zeros((3, 4, 4), np.uint8), "unsupported", "its first and its last axis could"),
        (np.zeros((4, 4, 4), np.uint8), "unsupported", "its first and its last axis could"),
        (np.zeros((3, 9, 3), np.uint8), "unsupported", "its first and its last axis could"),
        (np.zeros((1, 9, 1), np.uint8), "unsupported", "its first and its last axis could"),
        (np.zeros((9, 9, 2), np.uint8), "unsupported", r"its shape is \[9, 9, 2\]"),
        (np.zeros((5, 9, 9), np.uint8), "unsupported", r"its shape is \[5, 9, 9\]"),
        (np.zeros(9, np.uint8), "unsupported", r"its shape is \[9\]"),
        (np.zeros((1, 9, 9, 3), np.uint8), "unsupported", r"its shape is \[1, 9, 9, 3\]"),
        (PIXELS.astype(np.int64), "unsupported", "its numbers are int64"),
        (PIXELS.astype(np.uint16), "unsupported", "its numbers are uint16"),
        (GREY > 5, "unsupported", "its numbers are bool"),
        (PIXELS.astype(np.float32), "out-of-range", "reach from 0 to 255; scale them to 0 to 1"),
        (PIXELS / 127.5 - 1, "out-of-range", "reach from -1 to 1"),
        (np.full((9, 9, 3), np.nan), "not-finite", "not finite"),
        (np.full((9, 9, 3), np.inf), "not-finite", "not finite"),
        (np.zeros((0, 4, 3), np.uint8), "empty", "4 x 0 pixels"),
        (np.zeros((0, 4, 3)), "empty", "4 x 0 pixels"),
        (pillow.new("RGB", (0, 4)), "empty", "0 x 4 pixels"),
        (None, "unsupported", "pass a path"),
        ([1, 2], "unsupported", "pass a path"),
        (PIXELS.tolist(), "unsupported", "pass a path"),
    ],
)
def test_other_objects_are_refused(given: Any, code: str, reason: str) -> None:
    with pytest.raises(MediaError, match=f"image given as .*{reason}") as caught:
        Image().convert(given)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("given", "several"),
    [
        ("a.png", 1),
        (PIXELS, 1),
        (np.stack([PIXELS] * 3), 3),
        (torch.zeros(2, 3, 8, 16), 2),
        ([PIXELS, PIXELS], 2),
        (("a.png", PIXELS), 2),
        ([], 0),
    ],
)
def test_an_array_of_four_axes_is_several_pictures(given: Any, several: int) -> None:
    assert len(Image().items(given)) == several
