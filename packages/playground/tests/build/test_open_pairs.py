"""What models are taught about pairs of colour and shape that they never read."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from mmmodal_playground.build import translation
from mmmodal_playground.build.language import _loss, chat_tokenizer, new_model
from mmmodal_playground.build.lessons import EXERCISES
from mmmodal_playground.build.open_pairs import left_open
from mmmodal_playground.build.rows import IGNORED, Row, _batch
from mmmodal_playground.things import HELD_OUT, TALKS, THINGS, Thing


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return chat_tokenizer()


@pytest.fixture(scope="module")
def rows(tokenizer: PreTrainedTokenizerFast) -> list[Row]:
    chance = random.Random(0)
    return [make(tokenizer, chance) for make in EXERCISES.values() for _ in range(60)]


def test_no_row_says_a_held_out_pair(tokenizer: PreTrainedTokenizerFast, rows: list[Row]) -> None:
    names = {talk.name(thing) for talk in TALKS.values() for thing in HELD_OUT}
    for row in rows:
        said = tokenizer.decode(row.ids)
        assert not {name for name in names if name in said}, said
        for _, tokens, _ in row.sums:
            seen = set(tokenizer.decode(tokens).split())
            assert not any({thing.colour, thing.shape} <= seen for thing in HELD_OUT)


def test_a_colour_is_left_open_beside_the_shape_of_a_held_out_pair(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    opened = left_open(tokenizer, [[Thing("red", "star")]])
    token = tokenizer.get_vocab()
    assert opened[token["Ġred"]] == {token["Ġblue"]}
    assert opened[token["Ġmerah"]] == {token["Ġbiru"]}


def test_a_shape_of_two_words_is_left_open_where_they_differ(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    opened = left_open(tokenizer, [[Thing("yellow", "triangle")]])
    token = tokenizer.get_vocab()
    assert opened[token["Ġtiga"]] == {token["Ġempat"]}
    assert token["Ġsegi"] not in opened


def test_it_is_left_open_whether_two_things_are_one_of_a_held_out_pair(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    token, end = tokenizer.get_vocab(), tokenizer.eos_token_id
    crossed = left_open(tokenizer, [[Thing("blue", "circle"), Thing("red", "star")]])
    assert crossed[token["Ġand"]] == crossed[token["Ġdan"]] == {end}
    apart = left_open(tokenizer, [[Thing("green", "circle")], [Thing("red", "triangle")]])
    assert end not in set().union(*apart.values())


def test_nothing_is_left_open_about_other_pairs(tokenizer: PreTrainedTokenizerFast) -> None:
    far = [thing for thing in THINGS if all(thing.shares(held) == "nothing" for held in HELD_OUT)]
    assert far
    assert not left_open(tokenizer, [[thing] for thing in far])


def test_the_loss_does_not_move_a_word_that_is_left_open(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    token = tokenizer.get_vocab()
    row = Row([token["Ġstar"], token["Ġred"]], [IGNORED, token["Ġred"]])
    opened = Row(row.ids, row.labels, opened=[(1, token["Ġblue"])])
    model = new_model(tokenizer)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    for given, moves in ((row, True), (opened, False)):
        model.zero_grad()
        _loss(model, _batch([given], 0)).backward()
        gradient = model.lm_head.weight.grad
        assert gradient is not None
        assert bool(gradient[token["Ġblue"]].any()) is moves
        assert gradient[token["Ġgreen"]].any()


@pytest.mark.parametrize(
    ("said", "opened"),
    [
        ("a blue circle and a red star", {(" circle", " star"), (" red", " blue")}),
        ("segi tiga kuning", {(" tiga", " empat")}),
        ("a green circle", set()),
    ],
)
def test_the_translator_is_not_taught_that_held_out_pairs_are_wrong(
    said: str, opened: set[tuple[str, str]]
) -> None:
    tokenizer = translation.text_tokenizer()
    labels = tokenizer(said)["input_ids"]
    token = {word: tokenizer.encode(word, add_special_tokens=False)[0] for word in sum(opened, ())}
    expected = {(labels.index(token[word]), token[other]) for word, other in opened}
    assert set(translation._opened(tokenizer, said, labels)) == expected

    model = translation.new_model(tokenizer)
    translation._loss(model, tokenizer, ["translate"], [said]).backward()
    gradient = model.lm_head.weight.grad  # [V, D]
    assert gradient is not None and gradient.isfinite().all() and gradient.any()
