"""Samples with a rate become one waveform in any form that tools return; others are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmmodal.errors import MediaError
from mmmodal.modalities.audio import Audio, Waveform

RATE = 16_000
TONE = (0.5 * np.sin(np.arange(800) / 7)).astype(np.float32)
LEFT, RIGHT = TONE, TONE[::-1].copy()
STEREO = np.stack([LEFT, RIGHT], 1)  # [S, channels]
INTEGERS = (TONE * 32767).astype(np.int16)

# The object, and the waveform's samples that it stands for.
FORMS: dict[str, tuple[Any, np.ndarray]] = {
    "a waveform": (Waveform(TONE, RATE), TONE),
    "floats": ((TONE, RATE), TONE),
    "a list of both": ([TONE, RATE], TONE),
    "floats of 64 bits": ((TONE.astype(np.float64), RATE), TONE),
    "floats of 16 bits": ((TONE.astype(np.float16), RATE), TONE),
    "the rate first, as scipy returns it": ((RATE, INTEGERS), TONE),
    "a rate of numpy": ((TONE, np.int64(RATE)), TONE),
    "a rate of torch": ((TONE, torch.tensor(RATE)), TONE),
    "a rate that is a whole float": ((TONE, 16_000.0), TONE),
    "integers of 16 bits": ((INTEGERS, RATE), TONE),
    "integers of 32 bits": (((TONE * (2**31 - 200)).astype(np.int32), RATE), TONE),
    "unsigned bytes": (((TONE * 127 + 128).round().astype(np.uint8), RATE), TONE),
    "a list of floats": ((TONE.tolist(), RATE), TONE),
    "a tuple of floats": ((tuple(TONE.tolist()), RATE), TONE),
    "a tensor": ((torch.from_numpy(TONE), RATE), TONE),
    "a tensor that needs gradients": ((torch.from_numpy(TONE).requires_grad_(), RATE), TONE),
    "a tensor of bfloat16": ((torch.from_numpy(TONE).bfloat16(), RATE), TONE),
    "a tensor of int16": ((torch.from_numpy(INTEGERS), RATE), TONE),
    "a tensor of torchaudio": ((torch.from_numpy(STEREO.T.copy()), RATE), (LEFT + RIGHT) / 2),
    "one channel, samples first": ((TONE[:, None], RATE), TONE),
    "one channel first": ((TONE[None], RATE), TONE),
    "two channels, samples first": ((STEREO, RATE), (LEFT + RIGHT) / 2),
    "two channels first, as librosa returns them": ((STEREO.T, RATE), (LEFT + RIGHT) / 2),
    "lists of channels": ((STEREO.tolist(), RATE), (LEFT + RIGHT) / 2),
    "eight channels first": ((np.stack([TONE] * 8), RATE), TONE),
    "integers of two channels": ((np.stack([INTEGERS] * 2), RATE), TONE),
    "a row of datasets": ({"path": None, "array": TONE, "sampling_rate": RATE}, TONE),
    "a row of datasets, as a list": ({"array": TONE.tolist(), "sampling_rate": RATE}, TONE),
    "a single sample": ((TONE[1:2], RATE), TONE[1:2]),
    "somewhat above full scale": ((TONE * 3, RATE), TONE * 3),
}


@pytest.mark.parametrize("form", FORMS)
def test_samples_with_a_rate_are_converted(form: str) -> None:
    given, expected = FORMS[form]
    clip = Audio().convert(given)
    assert clip.rate == RATE
    assert clip.samples.dtype == np.float32
    assert clip.samples.shape == expected.shape
    assert np.allclose(clip.samples, expected, atol=0.01)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("given", "code", "reason"),
    [
        (TONE, "unsupported", "samples without a rate; pass a path, bytes"),
        (TONE.tolist(), "unsupported", "samples without a rate"),
        ((TONE, 16_000.5), "unsupported", "its rate is 16000.5; pass a whole number of Hz"),
        ((TONE, "16000"), "unsupported", "its rate is '16000'"),
        ((TONE, None), "unsupported", "its rate is None"),
        ((TONE, True), "unsupported", "its rate is True"),
        ((TONE, float("nan")), "unsupported", "its rate is nan"),
        ((TONE, float("inf")), "unsupported", "its rate is inf"),
        ((TONE, TONE), "unsupported", "its rate is"),
        ((RATE, RATE), "unsupported", r"samples of type int"),
        ((TONE, RATE, 1), "unsupported", "pass a path"),
        (("a.wav", RATE), "unsupported", "samples of type str"),
        (([0, 1, 2], RATE), "unsupported", "type int64, whose full scale is unknown"),
        ((TONE > 0, RATE), "unsupported", "type bool, whose full scale is unknown"),
        (([[0.0], [0.0, 1.0]], RATE), "unsupported", "samples of type list"),
        ((STEREO[:2], RATE), "unsupported", r"\[2, 2\], and either axis could be"),
        ((np.zeros((2, 5)), RATE), "unsupported", r"\[2, 5\], and either axis could be"),
        ((np.zeros((1, 2, 800)), RATE), "unsupported", r"its shape is \[1, 2, 800\]"),
        ((np.zeros((9, RATE)), RATE), "too-large", "9 channels"),
        ((TONE * 32767, RATE), "out-of-range", "full scale is 1"),
        ((np.array([0, np.nan]), RATE), "not-finite", "not finite"),
        ((np.array([0, 1e300]), RATE), "not-finite", "not finite"),
        ((np.zeros(0), RATE), "empty", "no samples"),
        ((np.zeros((0, 2)), RATE), "empty", "no samples"),
        ((np.zeros((2, 0)), RATE), "empty", "no samples"),
        (([], RATE), "empty", "no samples"),
        ((TONE, 0), "format", "0 Hz"),
        ((TONE, -RATE), "format", "-16,000 Hz"),
        ({"array": TONE}, "unsupported", "'sampling_rate': rate"),
        (None, "unsupported", "pass a path"),
        (7, "unsupported", "pass a path"),
    ],
)
def test_other_objects_are_refused(given: Any, code: str, reason: str) -> None:
    with pytest.raises(MediaError, match=f"audio given as .*{reason}") as caught:
        Audio().convert(given)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("given", "several"),
    [
        ("a.wav", 1),
        (TONE, 1),
        ((TONE, RATE), 1),
        ([RATE, TONE], 1),
        ([TONE.tolist(), RATE], 1),
        (TONE.tolist(), 1),
        ({"array": TONE, "sampling_rate": RATE}, 1),
        (["a.wav", "b.wav"], 2),
        (("a.wav", "b.wav", "c.wav"), 3),
        ([(TONE, RATE)], 1),
        ([(TONE, RATE), "b.wav"], 2),
        ([TONE, TONE], 2),
        ([], 0),
    ],
)
def test_a_list_with_a_number_is_one_clip(given: Any, several: int) -> None:
    assert len(Audio().items(given)) == several


@pytest.mark.parametrize("given", [TONE, TONE.tolist(), torch.from_numpy(TONE), STEREO.T])
def test_samples_without_a_rate_take_that_of_the_encoder_with_a_warning(given: Any) -> None:
    with pytest.warns(UserWarning, match=r"the encoder's, 22,050 Hz; pass \(samples, rate in Hz\)"):
        complete = Audio().complete(given, lambda: Waveform(TONE, 22_050))
    assert Audio().convert(complete).rate == 22_050


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("given", [(TONE, RATE), Waveform(TONE, RATE), None, "x"])
def test_objects_that_lack_nothing_are_left_alone(given: Any) -> None:
    assert Audio().complete(given, lambda: Waveform(TONE, 22_050)) is given
