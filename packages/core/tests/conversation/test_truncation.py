"""A conversation that is too long loses its oldest turns whole, and says so."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import mmmodal
from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import Renderer
from mmmodal.conversation.truncation import Shortened, shorten
from mmmodal.errors import RecordError, RenderError
from mmmodal.making.loading import load_processor
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.testing.languages import FAMILIES, tiny_tokenizer
from worlds import MARKERS, compose, picture, renderer_of

IMAGE = {"type": "image", "image": "unread"}
SLOTS = 20


@pytest.fixture(scope="module")
def model(parts: dict[str, Path]) -> MMModalForConditionalGeneration:
    return compose(parts["llama"], parts, kinds=["image"])


@pytest.fixture(scope="module", params=["qwen3", "llama3", "mistral-v0.3", "gemma3", "phi3"])
def renderer(request: pytest.FixtureRequest) -> Renderer:
    assert request.param in FAMILIES
    return renderer_of(request.param)


def exchange(number: int) -> list[dict[str, Any]]:
    text = {"type": "text", "text": f"question {number}?"}
    return [
        {"role": "user", "content": [IMAGE, text, IMAGE] if number % 2 else [text]},
        {"role": "assistant", "content": f"answer {number}."},
    ]


def conversation(turns: int, *front: dict[str, Any]) -> list[dict[str, Any]]:
    return [*front, *(message for number in range(turns) for message in exchange(number))]


def fit(
    renderer: Renderer, chat: list[dict[str, Any]], limit: int, room: int = 0, **options: Any
) -> Shortened:
    messages, media = read_messages(chat, ["image"])
    layouts = [SLOTS] * len(media)
    render = functools.partial(renderer.render, layouts=layouts, **options)
    return shorten(render, messages, layouts, limit, "max_tokens", room=room)


def test_what_is_left_is_the_end_of_the_conversation(renderer: Renderer) -> None:
    chat = conversation(9)
    whole = fit(renderer, chat, 100_000)
    assert (whole.dropped, whole.turns) == ((), 0)
    longest = len(whole.rendered.input_ids)
    shortest = len(fit(renderer, exchange(8), 100_000).rendered.input_ids)
    begin, end, slot = renderer.tokenizer.convert_tokens_to_ids(MARKERS)
    seen = set()
    for limit in range(longest, shortest, -5):
        fitting = fit(renderer, chat, limit)
        ids, gone = fitting.rendered.input_ids, fitting.turns
        seen.add(gone)
        assert len(ids) <= limit
        rest = [message for number in range(gone, 9) for message in exchange(number)]
        alone, media = read_messages(rest, ["image"])
        assert ids == renderer.render(alone, [SLOTS] * len(media)).input_ids
        assert (ids.count(begin), ids.count(end)) == (len(media), len(media))
        assert ids.count(slot) == SLOTS * len(media)
        assert fitting.rendered.media == list(range(8 - len(media), 8))
        if gone:  # with one turn more it would not fit
            one_more = [message for number in range(gone - 1, 9) for message in exchange(number)]
            more, media = read_messages(one_more, ["image"])
            assert len(renderer.render(more, [SLOTS] * len(media)).input_ids) > limit
    assert len(seen) >= 6


def test_a_system_message_stays() -> None:
    renderer = Renderer(tiny_tokenizer("qwen2.5"), {})
    chat = [{"role": "system", "content": "Be brief."}]
    chat += [{"role": role, "content": "word " * 20} for role in ["user", "assistant"] * 5]
    fitting = fit(renderer, chat, 180)
    assert fitting.turns > 0
    text = renderer.tokenizer.decode(fitting.rendered.input_ids)
    assert "Be brief." in text and "You are Qwen" not in text


def test_what_went_is_told(renderer: Renderer) -> None:
    longest = len(fit(renderer, conversation(5), 100_000).rendered.input_ids)
    two = len(fit(renderer, conversation(5)[4:], 100_000).rendered.input_ids)
    assert fit(renderer, conversation(5), two).summary() == (
        "the 2 oldest turns were left out (4 messages, 2 × image)"
    )
    assert fit(renderer, conversation(5), longest - 1).summary() == (
        "the oldest turn was left out (2 messages)"
    )


def test_one_turn_that_is_too_long_is_refused(renderer: Renderer) -> None:
    with pytest.raises(RenderError, match=r"one turn alone takes \d+ tokens .*\(40 slots\), more"):
        fit(renderer, conversation(2), 40)


def test_room_is_left_as_long_as_a_turn_can_go_for_it(renderer: Renderer) -> None:
    alone = len(fit(renderer, conversation(3)[4:], 100_000).rendered.input_ids)
    both = len(fit(renderer, conversation(3)[2:], 100_000).rendered.input_ids)
    assert fit(renderer, conversation(3), both, room=0).turns == 1
    assert fit(renderer, conversation(3), both, room=1).turns == 2
    assert fit(renderer, conversation(3), alone, room=alone // 2).turns == 2


def test_messages_of_one_role_in_a_row_are_one_turn() -> None:
    renderer = Renderer(tiny_tokenizer("qwen2.5"), {})
    said = [("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e")]
    chat = [{"role": role, "content": text} for role, text in said]
    longest = len(fit(renderer, chat, 1000).rendered.input_ids)
    fitting = fit(renderer, chat, longest - 1, add_generation_prompt=True)
    assert [message.content[0].text for message in fitting.dropped] == ["a", "b", "c", "d"]


def test_a_chat_goes_on_beyond_the_context_and_says_what_it_forgets(
    model: MMModalForConditionalGeneration, tmp_path: Path
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=4, system="Be brief.")
    for number in range(3):
        with warnings.catch_warnings(action="error"):
            chat.say("word " * 270, images=[drawn(tmp_path, number)])
    with pytest.warns(UserWarning, match=r"oldest turn.* left out .*the model's context of 2048"):
        chat.say("word " * 270, images=[drawn(tmp_path, 3)])
    assert len(chat.messages) == 9 and len(chat._cached_ids) < 2048
    kept = [chat.messages[0], *chat.messages[3:-1]]  # without the first turn
    layouts = [medium.layout for medium in chat._transcript.media]
    read = chat.processor.preparer.renderer.render(kept, layouts, add_generation_prompt=True)
    assert read.media == [1, 2, 3]
    assert chat._cached_ids[: len(read.input_ids)] == read.input_ids


def drawn(folder: Path, seed: int) -> str:
    picture(seed).save(folder / f"{seed}.png")
    return str(folder / f"{seed}.png")


def rows(folder: Path, turns: int, words: int) -> Path:
    """Write one record of several turns, each about a picture."""
    messages: list[Any] = []
    for number in range(turns):
        say = {"type": "text", "text": "word " * words}
        parts = [{"type": "image", "media": number}, say]
        messages.append({"role": "user", "content": parts})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": "ok"}]})
    media = [{"kind": "image", "uri": Path(drawn(folder, n)).name} for n in range(turns)]
    path = folder / "long.jsonl"
    path.write_text(json.dumps({"id": "a", "messages": messages, "media": media}) + "\n")
    return path


def test_training_reads_the_end_of_a_long_row_and_names_it(
    model: MMModalForConditionalGeneration, tmp_path: Path
) -> None:
    from mmmodal.making.loading import save
    from mmmodal.records.dataset import RecordDataset
    from mmmodal.samples.dataset import PreparedDataset

    preparer = load_processor(save(model, tmp_path / "model")).preparer
    data = RecordDataset(rows(tmp_path, 4, 20))
    whole = PreparedDataset([data], preparer, max_tokens=2048)[0]
    with pytest.warns(UserWarning, match=r"long\.jsonl:1: the .* left out .* to fit \d+ tokens"):
        short = PreparedDataset([data], preparer, max_tokens=len(whole.input_ids) - 1)[0]
    assert len(short.features["image"]) == 3
    slots = preparer.markers["image"].slot
    assert short.input_ids.count(slots) == 3 * 16
    with pytest.raises(RecordError, match=r"long\.jsonl:1: one turn alone takes \d+ tokens"):
        PreparedDataset([data], preparer, max_tokens=30)[0]
