"""Clips are written down, and what cannot be trusted is kept apart with what was measured."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from transformers import (
    AutoTokenizer,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from mmmodal.config import validate
from mmmodal_datagen.backends.local_files import LocalOptions
from mmmodal_datagen.backends.local_recogniser import LocalRecogniser
from mmmodal_datagen.backends.openai_whisper import OpenAIWhisper, WhisperOptions
from mmmodal_datagen.contracts import RATE, Confidence, Refusal, Row, Segment, Transcript
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import StepOutcome, run_pipeline
from mmmodal_datagen.single_step import step_alone
from mmmodal_datagen.steps.transcribe.filters import Filters, checks, only_phrases
from mmmodal_datagen.texts.repetition import byte_ratio
from mmmodal_playground.parts import part_folder
from mmmodal_playground.phrases import all_phrases
from mmmodal_playground.speech import any_voice, speak
from prose import LOOPS, STORIES
from refused_rows import refusals_in

SURE = Confidence(avg_logprob=-1.0, no_speech_prob=0.6, compression_ratio=2.4)


def utterances(number: int, seed: int = 5) -> list[tuple[str, str, np.ndarray]]:
    """Return (language, words, sound) of phrases in turns of English and Malay."""
    chance = random.Random(seed)
    found = []
    for index in range(number):
        language = ("en", "ms")[index % 2]
        phrase = chance.choice(all_phrases(language, "train"))
        found.append((language, phrase.text, speak(phrase.text, any_voice(language, chance))))
    return found


def record(path: Path, sounds: Sequence[np.ndarray], pause_s: float = 1.0) -> None:
    """Write utterances with pauses of a quiet room between them."""
    hiss = np.random.default_rng(0)
    parts = []
    for sound in sounds:
        parts += [sound, hiss.normal(0, 0.0005, round(pause_s * RATE))]
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, np.concatenate(parts), RATE)


def transcribed(folder: Path, **step: Any) -> list[StepOutcome]:
    """Segment and transcribe the recordings of a folder with the playground's recogniser."""
    values = {
        "out": folder / "out",
        "root": folder,
        "backends": {
            "ear": {
                "recogniser": "transformers",
                "options": {"source": str(part_folder("whisper"))},
            }
        },
        "steps": {
            "import": {"options": {"files": ["recordings"]}},
            "segment": {
                "inputs": "import",
                "options": {"longest_s": 3, "pause_s": 0.6, "padding_s": 0.1},
            },
            "transcribe": {"inputs": "segment", **step},
        },
    }
    return run_pipeline(validate(Pipeline, values, "test"))


def rows_of(outcomes: Sequence[StepOutcome]) -> list[Row]:
    return [row for file in outcomes[-1].files for row in file.read()]


def refusals_of(outcomes: Sequence[StepOutcome]) -> list[Refusal]:
    return refusals_in(outcomes[-1].folder)


def reason(transcript: Transcript, seconds: float = 10, **filters: Any) -> str:
    """Return the first check that a transcript does not pass."""
    found = checks(transcript, seconds, Filters(**filters), SURE)
    return next((gate.name for gate, _ in found if not gate.passed), "")


def said(text: str, seconds: float = 10, **scores: float) -> Transcript:
    segment = Segment(start_s=0, end_s=seconds, text=text, **scores)
    return Transcript(text=text, language="ms", segments=(segment,))


def test_the_words_spoken_in_a_recording_come_back(tmp_path: Path) -> None:
    spoken = utterances(8)
    record(tmp_path / "recordings" / "talk.flac", [sound for *_, sound in spoken])
    rows = rows_of(transcribed(tmp_path))
    assert [row.media[0].description for row in rows] == [words for _, words, _ in spoken]
    assert [row.media[0].lang for row in rows] == [language for language, *_ in spoken]
    first = rows[0]
    assert first.media[0].description_source == "asr" and first.synthetic
    assert first.groups == ("recordings/talk.flac",)
    assert [origin.step for origin in first.origins] == ["import", "segment", "transcribe"]
    assert [call.backend for call in first.origins[-1].calls] == ["transformers"]
    assert first.metrics["language_probability"] > 0.5 and first.metrics["words"] >= 2
    (kept,) = first.media[0].facts["transcripts"]
    assert kept["segments"][0]["avg_logprob"] > -1 and kept["language"] == "en"
    assert {gate.passed for gate in first.gates} == {True}


def test_one_step_reads_the_file_that_another_one_published(tmp_path: Path) -> None:
    spoken = utterances(3)
    record(tmp_path / "recordings" / "talk.flac", [sound for *_, sound in spoken])
    cuts = ["longest_s=3", "pause_s=0.6", "padding_s=0.1"]
    clips = run_pipeline(
        step_alone("segment", [tmp_path / "recordings"], tmp_path / "clips", settings=cuts)
    )
    ear = f"recogniser:transformers,source={part_folder('whisper')}"
    (file,) = clips[-1].files
    outcomes = run_pipeline(
        step_alone("transcribe", [file.path], tmp_path / "said", backends=[ear])
    )
    rows = rows_of(outcomes)
    assert [row.media[0].description for row in rows] == [words for _, words, _ in spoken]
    assert [origin.step for origin in rows[0].origins][:2] == ["import", "segment"]
    assert rows[0].metrics["recording_seconds"] > 5


def test_what_is_refused_is_kept_with_its_transcript_and_all_that_was_measured(
    tmp_path: Path,
) -> None:
    spoken = utterances(4)
    record(tmp_path / "recordings" / "talk.flac", [sound for *_, sound in spoken])
    outcomes = transcribed(tmp_path, options={"words": 5})
    many = [words for _, words, _ in spoken if len(words.split()) >= 5]
    assert [row.media[0].description for row in rows_of(outcomes)] == many
    assert outcomes[-1].reasons == {"few words": 4 - len(many)}
    for refusal in refusals_of(outcomes):
        assert refusal.row.media[0].description in [words for _, words, _ in spoken]
        failed = [gate for gate in refusal.row.gates if not gate.passed]
        assert [(gate.name, gate.threshold) for gate in failed] == [("few words", 5)]
        assert refusal.row.origins[-1].calls


def test_the_papers_filter_decodes_in_malay_then_in_english_and_keeps_both(tmp_path: Path) -> None:
    spoken = utterances(4)
    record(tmp_path / "recordings" / "talk.flac", [sound for *_, sound in spoken])
    # The playground's phrases are short, and its logits those of a small vocabulary.
    outcomes = transcribed(tmp_path, preset="paper", options={"words": 3, "raw_score": 4.0})
    rows = rows_of(outcomes)
    by_clip: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_clip.setdefault(row.parents, []).append(row)
    assert by_clip
    for versions in by_clip.values():
        assert [row.media[0].lang for row in versions] in (["ms", "en"], ["ms"])
        assert len({row.id for row in versions}) == len(versions)
        for row in versions:
            transcripts = row.media[0].facts["transcripts"]
            assert [each["language"] for each in transcripts] == ["ms", "en"]
            assert {gate.name for gate in row.gates} >= {"low raw score (ms)", "few words (en)"}
            assert len(row.origins[-1].calls) == 2
    malay = {words for language, words, _ in spoken if language == "ms"}
    assert malay <= {row.media[0].description for row in rows}
    for refusal in refusals_of(outcomes):
        assert refusal.reason.endswith(" (ms)")
        # English is not asked for where Malay does not pass: the paper never looks at it.
        assert len(refusal.row.media[0].facts["transcripts"]) == 1


def test_the_papers_filter_refuses_what_is_short_or_unsure(tmp_path: Path) -> None:
    record(tmp_path / "recordings" / "talk.flac", [utterances(2)[1][2]])
    assert transcribed(tmp_path, preset="paper")[-1].reasons == {"few words (ms)": 1}
    low = transcribed(tmp_path, preset="paper", options={"raw_score": 1000.0})
    assert low[-1].reasons == {"low raw score (ms)": 1}


def test_the_raw_score_is_the_clips_own_and_the_papers_arithmetic_was_the_batchs() -> None:
    source = str(part_folder("whisper"))
    clips = sorted(utterances(6, seed=1), key=lambda clip: len(clip[1].split()))
    sounds = [sound for *_, sound in clips]
    backend = LocalRecogniser(LocalOptions(source=source))

    async def ask(some: Sequence[np.ndarray]) -> list[float]:
        asked = (backend.transcribe(sound, language="ms", raw_score=True) for sound in some)
        return [found.raw_score or 0.0 for found in await asyncio.gather(*asked)]

    alone = [asyncio.run(ask([sound]))[0] for sound in sounds]
    beside = asyncio.run(ask(sounds))
    assert beside == pytest.approx(alone, abs=1e-4)

    # The paper's: the highest logits of a batch, as generate gives them, averaged over as many
    # steps as the longest clip has, those behind a clip's end counting zero.
    model = WhisperForConditionalGeneration.from_pretrained(source)
    extractor = WhisperFeatureExtractor.from_pretrained(source)
    end = AutoTokenizer.from_pretrained(source).eos_token_id

    def papers(some: Sequence[np.ndarray]) -> list[float]:
        features = extractor(list(some), sampling_rate=RATE, return_tensors="pt").input_features
        made = model.generate(
            features,
            language="ms",
            task="transcribe",
            output_logits=True,
            return_dict_in_generate=True,
        )
        steps = len(made.logits)
        scores = []
        for clip in range(len(some)):
            ids = made.sequences[clip, -steps:].tolist()
            own = ids.index(end) if end in ids else steps
            peaks = [float(made.logits[step][clip].max()) for step in range(own)]
            scores.append(sum(peaks) / steps)
        return scores

    single = [papers([sound])[0] for sound in sounds]
    assert single == pytest.approx(alone, abs=1e-3)
    batched = papers(sounds)
    assert len(clips[0][1].split()) < len(clips[-1][1].split())
    # Beside a longer clip the paper's threshold of 8 drops what passes it alone: 10.4 became 6.9.
    assert single[0] > 8 > batched[0]
    assert max(batched) == pytest.approx(max(single), abs=1e-3)


def test_each_recogniser_has_its_own_thresholds_and_a_step_may_set_others(tmp_path: Path) -> None:
    whisper = OpenAIWhisper(WhisperOptions(avg_logprob=-0.7))
    assert whisper.confidence == SURE.model_copy(update={"avg_logprob": -0.7})
    record(tmp_path / "recordings" / "talk.flac", [utterances(1)[0][2]])
    assert transcribed(tmp_path)[-1].rows == 1
    strict = transcribed(tmp_path, options={"confidence": {"avg_logprob": 0.0}})
    assert strict[-1].reasons == {"unsure words": 1}
    none = transcribed(tmp_path, options={"confidence": "none"})
    assert not {"unsure words", "repeats itself"} & {g.name for g in rows_of(none)[0].gates}


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        (said("Saya pergi ke pasar pagi tadi.", avg_logprob=-0.3), ""),
        (said(""), "nothing was said"),
        (said("Saya pergi ke pasar.", avg_logprob=-1.2), "unsure words"),
        (said("Saya pergi ke pasar.", no_speech_prob=0.9), "no speech"),
        (said("ya ya ya ya", compression_ratio=3.1), "repeats itself"),
        (said("ya ya ya ya ya ya"), "few different words"),
        (said("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "overlong word"),
        (said("Terima kasih kerana menonton!"), "hallucinated phrase"),
        (said("Terima kasih.", seconds=2), ""),
        (said("SARI KATA OLEH PENONTON SETIA"), "all in capitals"),
        (said("TV3 dan RTM"), ""),
    ],
)
def test_a_transcript_is_refused_for_what_is_wrong_with_it(
    transcript: Transcript, expected: str
) -> None:
    assert reason(transcript) == expected


def spoken(text: str, seconds: float) -> Transcript:
    """Return a transcript with the compression ratio that Whisper would have measured."""
    return said(text, seconds, compression_ratio=byte_ratio(text))


@pytest.mark.parametrize("script", STORIES)
def test_prose_of_any_script_is_kept_and_what_nobody_said_is_not(script: str) -> None:
    story, loop = STORIES[script], LOOPS[script]
    for seconds in (17, 25, 40):
        assert reason(spoken(story, seconds), seconds) == ""
    assert reason(spoken(story, 7), 7) == "too fast for speech"
    assert reason(spoken(loop * 20, 25), 25) == "repeats itself"
    assert reason(said(loop * 5, 25), 25) == "few different words"
    first = story.split()[0][0] if script in ("chinese", "japanese") else "a"
    letters = said(f"{first * 26} {story}", 30)
    assert reason(letters, 30) == "overlong word"
    assert reason(said(story, 30), 30, words=40) == ""
    assert reason(said(story[:25], 30), 30, words=40) == "few words"


@pytest.mark.parametrize(
    "text", ["我在KL工作了三年", "TNB และ LRT อยู่ในเมือง KL", "MRT 跟 LRT 在 KL 很多 1 2 3 4"]
)
def test_abbreviations_in_a_script_without_capitals_are_no_title(text: str) -> None:
    assert reason(said(text)) == ""


def test_the_worst_segment_of_a_clip_decides() -> None:
    fine = Segment(start_s=0, end_s=20, text="Selamat datang ke pasar ini", avg_logprob=-0.2)
    outro = Segment(start_s=20, end_s=30, text="Terima kasih kerana menonton", avg_logprob=-0.4)
    text = f"{fine.text} {outro.text}"
    both = Transcript(text=text, language="ms", segments=(fine, outro))
    assert reason(both, 30) == "hallucinated phrase"
    unsure = outro.model_copy(update={"text": "dan jumpa lagi", "avg_logprob": -2.0})
    worse = both.model_copy(update={"segments": (fine, unsure)})
    assert reason(worse, 30) == "unsure words"
    # Without segments the clip is one.
    assert reason(Transcript(text=outro.text, language="ms"), 30) == "hallucinated phrase"


def test_more_than_can_be_said_and_other_languages_are_refused() -> None:
    assert reason(said("satu dua tiga empat lima enam tujuh"), 0.5) == "too fast for speech"
    assert reason(said("Saya pergi ke pasar"), accept=("en",)) == "another language"
    assert reason(said("Saya pergi ke pasar"), accept=("en", "ms")) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Terima kasih kerana menonton!", True),
        ("terima kasih, Terima kasih. TERIMA KASIH", True),
        ("Jangan lupa like, share dan subscribe!", True),
        ("Thank you for watching.", True),
        ("ご視聴ありがとうございました。", True),
        ("谢谢观看谢谢观看！感谢观看", True),
        ("ขอบคุณที่รับชม", True),
        ("谢谢观看我们的节目", False),
        ("Terima kasih kerana datang ke kedai saya", False),
        ("Dia kata terima kasih", False),
        ("terima", False),
        ("", False),
    ],
)
def test_a_phrase_is_one_when_nothing_else_is_said(text: str, expected: bool) -> None:
    assert only_phrases(text) is expected
