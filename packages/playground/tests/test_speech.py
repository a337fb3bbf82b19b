"""espeak-ng speaks both languages, the same for the same voice, and says what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmmodal_playground.phrases import all_phrases
from mmmodal_playground.speech import (
    RATE,
    UNSEEN,
    VOICES,
    SpeechError,
    Voice,
    any_voice,
    speak,
    unseen_voice,
)
from mmmodal_playground.things import HELD_OUT, TALKS, THINGS


@pytest.mark.parametrize("name", [name for names in VOICES.values() for name in names])
def test_every_voice_speaks(name: str) -> None:
    samples = speak("a red circle", Voice(name))
    assert 0.5 < len(samples) / RATE < 3
    assert 0.6 < np.abs(samples).max() <= 1


def test_the_same_voice_says_the_same_thing_the_same_way() -> None:
    voice = Voice("ms+f2", noise=0.01, seed=5)
    first = speak("bulatan merah", voice)
    speak("something else", Voice("en"))
    np.testing.assert_array_equal(first, speak("bulatan merah", voice))
    assert len(first) != len(speak("segi tiga merah", voice))


def test_speed_and_noise_are_heard() -> None:
    assert len(speak("a red circle", Voice("en", speed=120))) > len(
        speak("a red circle", Voice("en", speed=220))
    )
    clean, noisy = (speak("a red circle", Voice("en", noise=noise)) for noise in (0.0, 0.01))
    assert 0.005 < (noisy - clean).std() < 0.015


def test_a_voice_that_is_missing_is_named_with_what_to_do() -> None:
    with pytest.raises(SpeechError, match=r"no voice 'xx-none'.*pip install"):
        speak("hello", Voice("xx-none"))


def test_missing_espeak_data_is_one_clear_error(tmp_path: Path) -> None:
    code = (
        "import espeakng_loader\n"
        f"espeakng_loader.get_data_path = lambda: {str(tmp_path)!r}\n"
        "from mmmodal_playground.speech import Voice, speak\n"
        "speak('hello', Voice('en'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "pip install --force-reinstall --no-deps espeakng-loader" in done.stderr


def test_the_unseen_speaker_is_no_voice_of_training() -> None:
    import random

    for code in TALKS:
        assert unseen_voice(code, random.Random(0)).name.endswith(UNSEEN)
        assert not any(UNSEEN in name for name in VOICES[code])
        assert any_voice(code, random.Random(0)).name in VOICES[code]


def test_each_thing_has_held_out_phrases_and_held_out_pairs_have_no_others() -> None:
    for code in TALKS:
        train, test = ({(p.thing, p.text) for p in all_phrases(code, s)} for s in ("train", "test"))
        assert not train & test
        assert {thing for thing, _ in test} == set(THINGS)
        assert {thing for thing, _ in train} == set(THINGS) - HELD_OUT
        assert len(test) == 2 * len(THINGS) + 8 * len(HELD_OUT)
