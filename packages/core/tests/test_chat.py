"""Talking over several turns gives what reading the whole conversation anew would give."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import mmmodal
from mmmodal.errors import MediaError, RecordError, RenderError
from mmmodal.model.modeling import MMModalForConditionalGeneration
from worlds import RATE, clip, picture


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    found = {}
    for seed in (1, 2):
        image, sound = tmp_path / f"{seed}.png", tmp_path / f"{seed}.wav"
        picture(seed).save(image)
        soundfile.write(sound, clip(seed).samples, RATE)
        found |= {f"image{seed}": str(image), f"audio{seed}": str(sound)}
    return found


def turns(files: dict[str, str]) -> list[tuple[str, dict[str, list[str]]]]:
    return [
        ("What is this?", {"images": [files["image1"]]}),
        ("and these?", {"images": [files["image2"]], "audio": [files["audio1"], files["audio2"]]}),
        ("Only text now", {}),
        ("One more", {"audio": [files["audio2"]]}),
    ]


def test_each_turn_equals_reading_the_conversation_anew(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=8)
    for text, media in turns(files):
        answer = chat.say(text, **media)
        ids = (
            chat._render_prompt_of_last_turn()
            if hasattr(chat, "_render_prompt_of_last_turn")
            else None
        )
        assert ids is None
        assert answer == anew(model, chat)


def anew(model: MMModalForConditionalGeneration, chat: mmmodal.Chat, **settings: int) -> str:
    """Answer the last turn of `chat` without any cache."""
    processor, transcript = model.processor, chat._transcript
    items = [
        (medium.modality, processor.read(medium.modality, path))
        for medium, path in zip(transcript.media, transcript.origins, strict=True)
    ]
    sample = processor.preparer.prepare(chat.messages[:-1], items, add_generation_prompt=True)
    batch = processor.preparer.collate([sample])
    del batch["labels"]
    output = model.generate(**batch, max_new_tokens=8, do_sample=False, **settings)
    new = output[0, batch["input_ids"].shape[1] :]
    return str(processor.tokenizer.decode(new, skip_special_tokens=True)).strip()


def test_later_turns_compute_only_what_is_new(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=4)
    seen: list[int] = []
    hook = model.model.tower("image").register_forward_hook(
        lambda module, arguments, output: seen.append(len(output))
    )
    read: list[int] = []
    reading = model.model.language_model.register_forward_pre_hook(
        lambda module, arguments, inputs: read.append(inputs["inputs_embeds"].shape[1]),
        with_kwargs=True,
    )
    try:
        chat.say("first", images=[files["image1"], files["image2"]])
        first = read[0]
        read.clear()
        chat.say("second", images=[files["image1"]])
    finally:
        hook.remove()
        reading.remove()
    assert seen == [2, 1]
    assert read[0] < first


def test_streamed_pieces_add_up_to_the_answer(model: MMModalForConditionalGeneration) -> None:
    pieces: list[str] = []
    answer = mmmodal.Chat(model, max_new_tokens=24).say("Hello there", stream=pieces.append)
    assert "".join(pieces).strip() == answer
    assert len(pieces) > 1


def test_a_turn_that_fails_leaves_the_conversation_as_it_was(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=4)
    chat.say("one", images=[files["image1"]])
    before = list(chat.messages)
    with pytest.raises(MediaError, match="missing"):
        chat.say("two", images=[files["image2"], "missing.png"])
    assert chat.messages == before
    control = mmmodal.Chat(model, max_new_tokens=4)
    control.say("one", images=[files["image1"]])
    assert chat.say("three") == control.say("three")


def test_an_interrupted_answer_is_forgotten(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=16)
    chat.say("one", audio=files["audio1"])

    def stop(piece: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chat.say("two", stream=stop)
    control = mmmodal.Chat(model, max_new_tokens=16)
    control.say("one", audio=files["audio1"])
    assert chat.say("three") == control.say("three")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_prompt_is_refused(model: MMModalForConditionalGeneration, text: str) -> None:
    with pytest.raises(RenderError, match="prompt is empty"):
        mmmodal.Chat(model).say(text)


def test_a_conversation_beyond_the_context_is_refused_with_its_sum(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    chat = mmmodal.Chat(model)
    with pytest.raises(
        RenderError, match=r"one turn alone takes \d+ tokens .*\(16 slots\).*context of 2048"
    ):
        chat.say("word " * 3000, images=[files["image1"]])


def test_media_may_stand_anywhere_in_a_turn(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=4)
    chat.say(["a", {"type": "image", "path": files["image1"]}, "b"])
    kinds = [part.type for part in chat.messages[0].content]
    assert kinds == ["text", "image", "text"]


def test_objects_in_hand_are_taken_like_files(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    by_path, in_hand = (mmmodal.Chat(model, max_new_tokens=6) for _ in range(2))
    expected = by_path.say("x", images=[files["image1"]])
    assert in_hand.say("x", images=[Image.open(files["image1"])]) == expected
    assert isinstance(in_hand.say("y", audio=[clip()]), str)


def test_arrays_are_taken_like_files(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    samples, rate = soundfile.read(files["audio1"], dtype="int16")
    pixels = np.asarray(Image.open(files["image1"]).convert("RGB"))
    expected = mmmodal.Chat(model, max_new_tokens=6).say(
        "x", images=files["image1"], audio=files["audio1"]
    )
    row = {"array": samples, "sampling_rate": rate}
    for audio in ((samples, rate), [(rate, samples)], row, [torch.from_numpy(samples), rate]):
        for images in (
            pixels,
            pixels[None],
            pixels / 255,
            torch.tensor(pixels).permute(2, 0, 1),
        ):
            chat = mmmodal.Chat(model, max_new_tokens=6)
            assert chat.say("x", images=images, audio=audio) == expected
    part = {"type": "audio", "audio": (samples, rate)}
    first = mmmodal.Chat(model, max_new_tokens=6).say([part, "y"])
    assert first == mmmodal.Chat(model, max_new_tokens=6).say("y", audio=files["audio1"])
    with pytest.warns(UserWarning, match=f"the encoder's, {rate:,} Hz"):
        assert mmmodal.Chat(model, max_new_tokens=6).say("y", audio=samples) == first


def test_base64_has_a_key_of_its_own_and_is_never_guessed(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    data = base64.b64encode(Path(files["image1"]).read_bytes()).decode()
    expected = mmmodal.Chat(model, max_new_tokens=6).say("x", images=files["image1"])
    for text in (data, f"data:image/png;base64,{data}"):
        part = {"type": "image", "base64": text}
        assert mmmodal.Chat(model, max_new_tokens=6).say([part, "x"]) == expected
    with pytest.raises(MediaError):
        mmmodal.Chat(model, max_new_tokens=6).say("x", images=data)


def test_a_saved_conversation_is_a_record(
    model: MMModalForConditionalGeneration, files: dict[str, str], tmp_path: Path
) -> None:
    from mmmodal.contracts.record import Record

    chat = mmmodal.Chat(model, max_new_tokens=4)
    chat.say("What?", images=[files["image1"]])
    chat.save(tmp_path / "talk.jsonl")
    record = Record.model_validate(json.loads((tmp_path / "talk.jsonl").read_text()))
    assert [m.role for m in record.messages] == ["user", "assistant"]
    assert (tmp_path / record.media[0].uri).samefile(files["image1"])


def test_a_conversation_that_no_loader_could_read_is_not_saved(
    model: MMModalForConditionalGeneration, files: dict[str, str], tmp_path: Path
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=2)
    with pytest.raises(RecordError, match="the conversation has no answer yet"):
        chat.save(tmp_path / "talk.jsonl")
    chat.say("What?", images=[files["image1"]])
    (tmp_path / "inner").mkdir()
    with pytest.raises(RecordError, match="lies outside of its folder"):
        chat.save(tmp_path / "inner/talk.jsonl")
    chat.say("And?", images=[Image.open(files["image1"])])
    with pytest.raises(RecordError, match="given as an object"):
        chat.save(tmp_path / "talk.jsonl")


def test_turns_after_a_beam_search_equal_reading_anew(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=8, num_beams=3)
    chat.say("What is this?", images=[files["image1"]])
    answer = chat.say("And this?", audio=[files["audio1"]])
    assert answer == anew(model, chat, num_beams=3)


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("place", [0, 3, 9])
def test_an_answer_ends_in_front_of_a_text_also_in_the_stream(
    model: MMModalForConditionalGeneration, length: int, place: int
) -> None:
    plain = mmmodal.Chat(model, max_new_tokens=24).say("Hello there")
    stop = plain[place : place + length]
    expected = plain[: plain.index(stop)].strip()
    pieces: list[str] = []
    chat = mmmodal.Chat(model, max_new_tokens=24, stop_strings=[stop, "never to be seen"])
    assert chat.say("Hello there", stream=pieces.append) == expected
    assert "".join(pieces).strip() == expected
    assert not chat.cut_short
    assert [part.text for part in chat.messages[-1].content] == [expected]


def test_what_might_begin_an_ending_is_shown_once_it_does_not(
    model: MMModalForConditionalGeneration,
) -> None:
    plain = mmmodal.Chat(model, max_new_tokens=24).say("Hello there")
    endings = [plain[at : at + 4] + "\0" for at in range(len(plain) - 4)]  # each only begins
    pieces: list[str] = []
    chat = mmmodal.Chat(model, max_new_tokens=24, stop_strings=endings)
    assert chat.say("Hello there", stream=pieces.append) == plain
    assert "".join(pieces).strip() == plain
    assert chat.cut_short


def test_markup_may_end_an_answer(model: MMModalForConditionalGeneration) -> None:
    end = model.processor.tokenizer.bos_token
    bias = {(model.processor.tokenizer.bos_token_id,): 100.0}
    chat = mmmodal.Chat(model, max_new_tokens=8, stop_strings=end, sequence_bias=bias)
    assert chat.say("Hello") == ""
    assert not chat.cut_short
    assert len(chat._cached_ids) > 0


def test_texts_in_the_prompt_end_no_answer(model: MMModalForConditionalGeneration) -> None:
    plain = mmmodal.Chat(model, max_new_tokens=8).say("Hello there")
    chat = mmmodal.Chat(model, max_new_tokens=8, stop_strings=["Hello there", "there"])
    assert chat.say("Hello there") == plain


def test_turns_after_an_ending_equal_reading_anew(
    model: MMModalForConditionalGeneration, files: dict[str, str]
) -> None:
    probe = mmmodal.Chat(model, max_new_tokens=8).say("What is this?", images=[files["image1"]])
    chat = mmmodal.Chat(model, max_new_tokens=8, stop_strings=probe[4:6])
    for text, media in turns(files):
        found = chat.say(text, **media)
        expected = anew(model, chat)
        assert found == expected.split(probe[4:6])[0].strip()


def test_a_stream_with_an_end_of_its_own_shows_no_end(
    model: MMModalForConditionalGeneration,
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=12)
    chat.say("Hello there")
    end = chat._cached_ids[-4]
    pieces: list[str] = []
    ending = mmmodal.Chat(model, max_new_tokens=12, eos_token_id=end)
    answer = ending.say("Hello there", stream=pieces.append)
    assert "".join(pieces).strip() == answer
    assert not ending.cut_short


def test_an_answer_ends_where_the_context_does(model: MMModalForConditionalGeneration) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=5000, min_new_tokens=1)
    chat.say("word " * 990)
    context = model.config.text_config.max_position_embeddings
    assert len(chat._cached_ids) + 1 <= context
