"""Local models say what the libraries that run them say, whatever they are asked beside."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from mmmodal.errors import PartError
from mmmodal_datagen.backends.local_files import LocalOptions
from mmmodal_datagen.backends.local_language_model import LocalLanguageModel
from mmmodal_datagen.backends.local_recogniser import LocalRecogniser
from mmmodal_datagen.backends.openai_whisper import OpenAIWhisper, WhisperOptions
from mmmodal_datagen.backends.seq2seq import Seq2Seq, Seq2SeqOptions
from mmmodal_datagen.contracts import (
    RATE,
    BackendError,
    ChatTurn,
    Sampling,
    StopRun,
    Transcript,
)
from mmmodal_playground.parts import part_folder
from mmmodal_playground.phrases import all_phrases
from mmmodal_playground.speech import any_voice, speak

GREEDY = Sampling(temperature=0, max_tokens=12)
PREFIXES = {"ms": "translate English to Malay: ", "en": "translate Malay to English: "}


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, str, np.ndarray]]:
    """Return (language, words, sound) of phrases that the recogniser was trained on."""
    chance = random.Random(5)
    found = []
    for language in ("en", "ms"):
        for phrase in chance.sample(all_phrases(language, "train"), 3):
            found.append((language, phrase.text, speak(phrase.text, any_voice(language, chance))))
    return found


def heard(
    backend: LocalRecogniser, sounds: list[np.ndarray], **options: object
) -> list[Transcript]:
    async def ask() -> list[Transcript]:
        return await asyncio.gather(*(backend.transcribe(s, **options) for s in sounds))  # type: ignore[arg-type]

    return asyncio.run(ask())


def test_the_recogniser_hears_what_was_said_and_in_which_language(
    clips: list[tuple[str, str, np.ndarray]],
) -> None:
    backend = LocalRecogniser(LocalOptions(source=str(part_folder("whisper"))))
    found = heard(backend, [sound for *_, sound in clips])
    assert [each.language for each in found] == [language for language, *_ in clips]
    same = [each.text == words for each, (_, words, _) in zip(found, clips, strict=True)]
    assert sum(same) >= len(clips) - 1
    for each in found:
        assert each.language_probability is not None and each.language_probability > 0.5
        assert each.segments[0].avg_logprob is not None and each.segments[0].avg_logprob > -1


def test_a_transcript_is_that_of_transformers_and_does_not_depend_on_its_neighbours(
    clips: list[tuple[str, str, np.ndarray]],
) -> None:
    source = str(part_folder("whisper"))
    backend = LocalRecogniser(LocalOptions(source=source))
    sounds = [sound for *_, sound in clips]
    together = heard(backend, sounds, raw_score=True)
    alone = [heard(backend, [sound], raw_score=True)[0] for sound in sounds]
    model = WhisperForConditionalGeneration.from_pretrained(source)
    extractor = WhisperFeatureExtractor.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    for one, other, sound in zip(together, alone, sounds, strict=True):
        assert one.text == other.text
        assert one.raw_score == pytest.approx(other.raw_score, abs=1e-4)
        features = extractor([sound], sampling_rate=RATE, return_tensors="pt").input_features
        ids = model.generate(features, language=one.language, task="transcribe")
        assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == one.text


def test_a_clip_longer_than_the_window_is_refused_and_others_are_not(
    clips: list[tuple[str, str, np.ndarray]],
) -> None:
    backend = LocalRecogniser(LocalOptions(source=str(part_folder("whisper"))))

    async def ask() -> list[Transcript | BaseException]:
        sounds = [np.zeros(20 * RATE, np.float32), clips[0][2]]
        asked = (backend.transcribe(sound) for sound in sounds)
        return await asyncio.gather(*asked, return_exceptions=True)

    refused, found = asyncio.run(ask())
    assert isinstance(refused, BackendError) and "20.0 s" in str(refused)
    assert isinstance(found, Transcript) and found.text


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write random weights in openai-whisper's own form."""
    torch.manual_seed(0)
    dims = whisper.ModelDimensions(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=16,
        n_audio_head=2,
        n_audio_layer=1,
        n_vocab=51865,
        n_text_ctx=24,
        n_text_state=16,
        n_text_head=2,
        n_text_layer=1,
    )
    model = whisper.model.Whisper(dims)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path_factory.mktemp("whisper") / "tiny.pt"
    torch.save({"dims": vars(dims), "model_state_dict": model.state_dict()}, path)
    return path


def test_openai_whisper_is_read_from_its_own_form_and_says_the_same(checkpoint: Path) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    backend = OpenAIWhisper(WhisperOptions(source=str(checkpoint), temperatures=(0.0,)))
    found = asyncio.run(backend.transcribe(sound, raw_score=True))
    model = whisper.load_model(str(checkpoint), device="cpu")
    detected = max(
        chances := whisper.detect_language(
            model, whisper.log_mel_spectrogram(whisper.pad_or_trim(sound))[None]
        )[1][0],
        key=chances.__getitem__,
    )
    assert found.language == detected
    expected = whisper.transcribe(
        model,
        sound,
        language=detected,
        temperature=(0.0,),
        condition_on_previous_text=False,
        fp16=False,
    )
    assert found.text == expected["text"].strip()
    assert [segment.avg_logprob for segment in found.segments] == pytest.approx(
        [segment["avg_logprob"] for segment in expected["segments"]], abs=1e-5
    )
    assert found.raw_score is None or found.raw_score > 0


def test_openai_whisper_refuses_another_file_and_an_unknown_name(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    for source, reason in ((str(tmp_path / "other.pt"), "no checkpoint"), ("lrge", "large-v3")):
        backend = OpenAIWhisper(WhisperOptions(source=source))
        with pytest.raises(PartError, match=reason):
            asyncio.run(backend.transcribe(np.zeros(RATE, np.float32)))


def test_the_translator_says_what_its_model_says_whatever_is_beside() -> None:
    source = str(part_folder("translator"))
    backend = Seq2Seq(Seq2SeqOptions(source=source, prefixes=PREFIXES, longest=48))
    texts = ["a red circle", "What do you see in picture 1?", "a green square"]

    async def ask() -> list[str]:
        asked = (backend.translate([text], source="en", target="ms") for text in texts)
        return [found for (found,) in await asyncio.gather(*asked)]

    found = asyncio.run(ask())
    model = AutoModelForSeq2SeqLM.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    for text, malay in zip(texts, found, strict=True):
        ids = tokenizer(PREFIXES["ms"] + text, return_tensors="pt").input_ids
        written = model.generate(ids, max_new_tokens=48)[0]
        assert malay == tokenizer.decode(written, skip_special_tokens=True).strip()
    assert found[0] == "bulatan merah" or "merah" in found[0]


def test_a_text_too_long_to_translate_is_refused_not_cut() -> None:
    source = str(part_folder("translator"))
    backend = Seq2Seq(Seq2SeqOptions(source=source, prefixes=PREFIXES, longest=12))

    async def ask() -> list[list[str] | BaseException]:
        asked = [
            backend.translate([text], source="en", target="ms")
            for text in ("a red circle " * 20, "a red circle")
        ]
        return await asyncio.gather(*asked, return_exceptions=True)

    refused, found = asyncio.run(ask())
    assert isinstance(refused, BackendError) and "too long" in str(refused)
    assert isinstance(found, list) and found[0]


def test_the_language_model_continues_text_as_transformers_does() -> None:
    source = str(part_folder("llama"))
    backend = LocalLanguageModel(LocalOptions(source=source))
    model = AutoModelForCausalLM.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    prompt = "What is in the picture"
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    written = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    found = asyncio.run(backend.complete(prompt, GREEDY))
    assert found.text == tokenizer.decode(written, skip_special_tokens=True)
    assert found.input_tokens == ids.shape[1]


def test_a_local_model_that_reads_texts_refuses_media() -> None:
    backend = LocalLanguageModel(LocalOptions(source=str(part_folder("llama"))))
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(StopRun, match="reads texts alone"):
        asyncio.run(backend.chat([ChatTurn(role="user", content=(part,))], GREEDY))


def test_a_seed_is_all_it_takes_to_get_an_answer_again() -> None:
    backend = LocalLanguageModel(LocalOptions(source=str(part_folder("llama"))))
    turns = [ChatTurn(role="user", content="What is this?")]

    async def ask() -> list[str]:
        drawn = [Sampling(temperature=1.5, max_tokens=12, seed=seed) for seed in (1, 2, 1)]
        return [(await backend.chat(turns, sampling)).text for sampling in drawn]

    first, other, again = asyncio.run(ask())
    assert first == again != other


def test_an_answer_ends_before_its_stop_text_or_is_cut_off() -> None:
    backend = LocalLanguageModel(LocalOptions(source=str(part_folder("llama"))))
    whole = asyncio.run(backend.complete("What is in the picture", GREEDY)).text
    stop = whole.strip()[1:3]
    sampling = GREEDY.model_copy(update={"stop": (stop,)})
    stopped = asyncio.run(backend.complete("What is in the picture", sampling))
    assert stopped.text == whole[: whole.index(stop)]
    assert stopped.finish_reason == "stop"
    short = GREEDY.model_copy(update={"max_tokens": 1})
    assert asyncio.run(backend.complete("What is in", short)).finish_reason == "length"


def write_reciter(folder: Path, words: tuple[str, ...], special: tuple[str, ...]) -> None:
    """Write a model that says its vocabulary in order, from the word that a prompt ends with."""
    size = len(words)
    vocabulary = {word: number for number, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=words[0]))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=words[-1])
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=size,
        num_hidden_layers=1,
        num_attention_heads=1,
        eos_token_id=size - 1,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.model.layers.parameters():
            weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.copy_(torch.eye(size).roll(1, 0))
    model.save_pretrained(folder)


def test_what_a_local_model_thinks_is_left_out_though_its_marks_are_special_tokens(
    tmp_path: Path,
) -> None:
    words = ("Warna?", "[THINK]", "hijau", "atau", "biru", "[/THINK]", "merah", "</s>")
    write_reciter(tmp_path, words, ("[THINK]", "[/THINK]"))
    backend = LocalLanguageModel(LocalOptions(source=str(tmp_path)))
    found = asyncio.run(backend.complete("Warna?", GREEDY))
    assert (found.text, found.finish_reason, found.output_tokens) == ("merah", "stop", 7)
    cut = asyncio.run(backend.complete("Warna?", Sampling(temperature=0, max_tokens=3)))
    assert (cut.text, cut.finish_reason) == ("", "length")
