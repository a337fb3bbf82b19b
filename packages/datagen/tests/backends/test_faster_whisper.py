"""faster-whisper says through us what it says by itself, on a model of its true form."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.convert_slow_tokenizer import TikTokenConverter

from mmmodal.errors import PartError
from mmmodal_datagen.backends.faster_whisper import FasterWhisper, FasterWhisperOptions
from mmmodal_datagen.contracts import RATE, BackendError
from mmmodal_datagen.parts import find

GREEDY = {"temperatures": (0.0,), "beams": 1}


def test_a_package_that_is_missing_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    backend = find("recognisers", "faster-whisper")()
    with pytest.raises(PartError, match=r"pip install mmmodal-datagen\[faster-whisper\]"):
        asyncio.run(backend.transcribe(np.zeros(RATE, np.float32)))


def test_the_papers_score_is_refused_before_anything_is_loaded() -> None:
    backend = FasterWhisper(FasterWhisperOptions(source="nowhere"))
    with pytest.raises(PartError, match="no logits"):
        asyncio.run(backend.transcribe(np.zeros(RATE, np.float32), raw_score=True))


def test_its_mode_and_thresholds_are_part_of_what_it_is() -> None:
    backend = FasterWhisper(FasterWhisperOptions(avg_logprob=-0.7))
    identity = backend.identity()
    assert (identity["mode"], identity["voice"], identity["avg_logprob"]) == (
        "sequential",
        False,
        -0.7,
    )
    assert "device" not in identity and backend.confidence.avg_logprob == -0.7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert a Whisper of random weights with Whisper's own vocabulary."""
    pytest.importorskip("faster_whisper")
    from ctranslate2.converters import TransformersConverter

    made = tmp_path_factory.mktemp("whisper")
    assets = Path(whisper.__file__).parent / "assets" / "multilingual.tiktoken"
    names = [f"<|{code}|>" for code in whisper.tokenizer.LANGUAGES][:99]
    special = [
        *("<|endoftext|>", "<|startoftranscript|>", *names, "<|translate|>", "<|transcribe|>"),
        *("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
    ]
    backend = TikTokenConverter(str(assets), extra_special_tokens=special).converted()
    tokenizer = WhisperTokenizer(tokenizer_object=backend)
    tokenizer.save_pretrained(made / "hf")
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        init_std=0.3,
    )
    model = WhisperForConditionalGeneration(config)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in names}
    # One of its own: what is derived from the model's config is made anew when it is loaded.
    model.generation_config = GenerationConfig(
        lang_to_id=ids, suppress_tokens=[], begin_suppress_tokens=[]
    )
    model.save_pretrained(made / "hf")
    TransformersConverter(str(made / "hf"), copy_files=["tokenizer.json"]).convert(
        str(made / "converted")
    )
    return made / "converted"


def test_a_transcript_is_what_the_library_itself_says(folder: Path) -> None:
    from faster_whisper import WhisperModel

    sound = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    backend = FasterWhisper(FasterWhisperOptions(source=str(folder), **GREEDY))
    found = asyncio.run(backend.transcribe(sound))
    model = WhisperModel(str(folder))
    segments, about = model.transcribe(
        sound, beam_size=1, temperature=(0.0,), condition_on_previous_text=False
    )
    expected = list(segments)
    assert expected and expected[0].text
    assert found.language == about.language
    assert found.language_probability == pytest.approx(about.language_probability, abs=1e-5)
    assert found.text == "".join(segment.text for segment in expected).strip()
    assert len(found.segments) == len(expected)
    for mine, theirs in zip(found.segments, expected, strict=True):
        for name in ("avg_logprob", "no_speech_prob", "compression_ratio", "temperature"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), abs=1e-5)
    given = asyncio.run(backend.transcribe(sound, language="ms"))
    assert (given.language, given.language_probability) == ("ms", None)


def test_an_unknown_language_and_a_folder_that_is_not_whole_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    sound = np.zeros(RATE, np.float32)
    backend = FasterWhisper(FasterWhisperOptions(source=str(folder)))
    with pytest.raises(BackendError, match="xx"):
        asyncio.run(backend.transcribe(sound, language="xx"))
    (tmp_path / "model.bin").write_bytes(b"no model")
    other = FasterWhisper(FasterWhisperOptions(source=str(tmp_path)))
    with pytest.raises(PartError, match=r"has no tokenizer\.json"):
        asyncio.run(other.transcribe(sound))
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    broken = FasterWhisper(FasterWhisperOptions(source=str(tmp_path)))
    with pytest.raises(PartError, match="cannot be loaded"):
        asyncio.run(broken.transcribe(sound))
