"""Pictures of several tiles: a learned token stands between them, in models that need one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mmmodal
from mmmodal.cli.preview import format_preview
from mmmodal.conversation.rendering import IGNORE
from mmmodal.errors import CheckpointError
from mmmodal.making.loading import save
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.testing import EncoderTests
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mosaic import Mosaic, installed
from worlds import answers, batch_of, compose, encoders_of, logits_of, picture, user, write_lines

TILE = 16  # tokens


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(tmp_path_factory.mktemp("mosaic")):
        yield


@pytest.fixture(scope="module")
def folder(plugin: None, parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tiles") / "model"
    tiled(parts, out)
    return out


@pytest.fixture(scope="module")
def model(folder: Path) -> MMModalForConditionalGeneration:
    return mmmodal.load(folder)


def tiled(
    parts: dict[str, Path], out: Path | None, tiles: int = 4, projector: str = "mlp"
) -> MMModalForConditionalGeneration:
    mosaic = {"image": mmmodal.Part(name="mosaic", options={"tiles": tiles})}
    projectors = {"image": projector}
    return compose(parts["llama"], parts, out, encoders=mosaic, projectors=projectors)


def wide(columns: int, seed: int = 0) -> Image.Image:
    return picture(seed, (20 * columns, 20))


CHATS = [
    [user(wide(2, 1), "Which is wider?", wide(1, 2))],
    [user("only text")],
    [user(wide(3, 3), wide(4, 4), "and this?")],
]


def ids_of(model: MMModalForConditionalGeneration, *content: Any) -> list[int]:
    ids: list[int] = batch_of(model, [user(*content)])["input_ids"][0].tolist()
    return ids


class TestMosaic(EncoderTests):
    @pytest.fixture
    def encoder(self) -> Mosaic:
        return Mosaic()

    @pytest.fixture
    def items(self) -> list[Image.Image]:
        return [wide(columns, seed=columns) for columns in (1, 2, 4, 9)]


@pytest.mark.parametrize(("columns", "tiles"), [(1, 1), (2, 3), (4, 5)])
def test_a_separator_stands_between_tiles_and_nowhere_else(
    model: MMModalForConditionalGeneration, columns: int, tiles: int
) -> None:
    mark = model.processor.preparer.markers["image"]
    ids = ids_of(model, wide(columns), "hm")
    medium = ids[ids.index(mark.begin) : ids.index(mark.end) + 1]
    run = [mark.slot] * TILE
    assert medium == [mark.begin, *run, *[mark.separator, *run] * (tiles - 1), mark.end]
    assert ids.count(mark.separator) == tiles - 1


@pytest.mark.parametrize(
    ("projector", "tokens", "separators"),
    [("pixel-shuffle", 3 * 4, 2), ("linear", 3 * 16, 2), ("perceiver", 64, 0)],
)
def test_projectors_that_join_tiles_have_no_separators(
    parts: dict[str, Path], projector: str, tokens: int, separators: int
) -> None:
    model = tiled(parts, None, projector=projector)
    ids = ids_of(model, wide(2), "hm")
    assert ids.count(model.processor.preparer.markers["image"].slot) == tokens
    token = model.processor.tokenizer.convert_tokens_to_ids("<|image:tile|>")
    assert ids.count(token) == separators
    assert ("<|image:tile|>" in model.processor.tokenizer.get_vocab()) == bool(separators)
    assert logits_of(model, CHATS[2]).isfinite().all()


def test_a_model_that_never_tiles_has_no_token_for_it(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    single = tiled(parts, tmp_path / "single", tiles=1)
    tokenizer = single.processor.tokenizer
    assert "<|image:tile|>" not in tokenizer.get_vocab()
    assert single.config.image_separator_token_id is None
    plain = compose(parts["llama"], parts, kinds=["image"])
    assert tokenizer.get_vocab() == plain.processor.tokenizer.get_vocab()
    assert single.config.never_generated() == plain.config.never_generated()


def test_a_checkpoint_from_before_there_were_separators_is_as_it_was(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    expected = logits_of(tiled(parts, tmp_path / "old", tiles=1), CHATS[0])
    path = tmp_path / "old/config.json"
    config = json.loads(path.read_text())
    config.pop("image_separator_token_id", None)
    path.write_text(json.dumps(config))
    assert torch.equal(logits_of(mmmodal.load(tmp_path / "old"), CHATS[0]), expected)


def test_tiles_in_a_model_composed_without_them_are_refused(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    tiled(parts, tmp_path / "single", tiles=1)
    for name in ("config.json", "processor_config.json"):
        path = tmp_path / "single" / name
        path.write_text(path.read_text().replace('"tiles": 1', '"tiles": 4'))
    with pytest.raises(CheckpointError, match=r"lacks '<\|image:tile\|>' to separate them"):
        mmmodal.load(tmp_path / "single")


def test_typed_separator_is_text(model: MMModalForConditionalGeneration) -> None:
    mark = model.processor.preparer.markers["image"]
    typed = ids_of(model, "<image><|image|><|image:tile|></image>")
    assert not set(mark.all) & set(typed)
    assert "<|image:tile|>" in model.processor.tokenizer.decode(typed)


def test_nothing_is_learned_inside_a_medium(model: MMModalForConditionalGeneration) -> None:
    processor = model.processor
    from mmmodal.conversation.messages import read_messages

    chat = [*CHATS[0], {"role": "assistant", "content": "ya"}]
    messages, media = read_messages(chat, processor.modalities)
    sample = processor.preparer.prepare(
        messages, [(kind, processor.read(kind, v)) for kind, v in media]
    )
    inside = set(processor.preparer.markers["image"].all)
    labels = [
        label for id_, label in zip(sample.input_ids, sample.labels, strict=True) if id_ in inside
    ]
    assert labels and set(labels) == {IGNORE}
    assert any(label != IGNORE for label in sample.labels)
    text = format_preview(
        sample, processor.tokenizer, {processor.preparer.markers["image"].slot: "image"}
    )
    run = "[image ×16]"
    assert f"<image>{run}<|image:tile|>{run}<|image:tile|>{run}</image>" in text.replace(" <", "<")


def test_left_padded_batch_equals_one_by_one(model: MMModalForConditionalGeneration) -> None:
    with torch.no_grad():
        together = model(**batch_of(model, CHATS)).logits
    for row, chat in enumerate(CHATS):
        alone = logits_of(model, chat)
        torch.testing.assert_close(together[row, -len(alone) :], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "settings", [{"do_sample": False}, {"num_beams": 3}], ids=["greedy", "beams"]
)
def test_generation_in_a_batch_equals_one_by_one(
    model: MMModalForConditionalGeneration, settings: dict[str, Any]
) -> None:
    together = answers(model, CHATS, settings)
    assert together == [answer for chat in CHATS for answer in answers(model, [chat], settings)]


def test_the_separator_is_read_where_there_are_tiles(parts: dict[str, Path]) -> None:
    model = tiled(parts, None)
    before = [logits_of(model, chat) for chat in (CHATS[0], [user(wide(1), "hm")])]
    with torch.no_grad():
        model.get_input_embeddings().weight[model.config.image_separator_token_id] += 1.0
    after = [logits_of(model, chat) for chat in (CHATS[0], [user(wide(1), "hm")])]
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_the_separator_is_never_generated(model: MMModalForConditionalGeneration) -> None:
    never = set(model.processor.preparer.markers["image"].all)
    assert model.config.image_separator_token_id in never
    assert never <= set(model.config.never_generated())
    batch = batch_of(model, CHATS)
    output = model.generate(**batch, max_new_tokens=64, do_sample=True, temperature=50.0)
    assert not never & set(output[:, batch["input_ids"].shape[1] :].flatten().tolist())


def test_saving_and_loading_gives_identical_logits(
    folder: Path, model: MMModalForConditionalGeneration, tmp_path: Path
) -> None:
    expected = logits_of(model, CHATS[2])
    again = mmmodal.load(save(model, tmp_path / "again"))
    assert torch.equal(logits_of(again, CHATS[2]), expected)
    assert again.processor.preparer.markers == model.processor.preparer.markers
    assert again.config.image_separator_token_id == model.config.image_separator_token_id
    for name in ("generation_config.json", "processor_config.json", "tokenizer.json"):
        assert (tmp_path / "again" / name).read_text() == (folder / name).read_text()


def test_a_processor_without_the_separator_of_its_model_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "m")
    path = tmp_path / "m/config.json"
    config = json.loads(path.read_text())
    config["image_separator_token_id"] += 1
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="disagree on the separator_token_id of 'image'"):
        mmmodal.load(tmp_path / "m")


def test_a_rendered_prompt_takes_pictures_also_with_their_tiles_written_out(
    model: MMModalForConditionalGeneration,
) -> None:
    processor, pictures = model.processor, [wide(2), wide(1)]
    chat = [user(pictures[0], "Which?", pictures[1])]
    expected = batch_of(model, [chat])["input_ids"]
    text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert torch.equal(processor(text=text, images=pictures)["input_ids"], expected)
    whole = processor.tokenizer.decode(expected[0][expected[0] != processor.tokenizer.pad_token_id])
    assert whole.count("<|image:tile|>") == 2
    tiles = "<|image|>" * TILE
    written = text.replace("<image>", f"<image>{tiles}<|image:tile|>{tiles}", 1)
    assert torch.equal(processor(text=written, images=pictures)["input_ids"], expected)


def test_align_trains_the_separator_with_the_other_markers(folder: Path, tmp_path: Path) -> None:
    for columns in (1, 3):
        wide(columns, columns).save(tmp_path / f"{columns}.png")
    rows = [
        {
            "id": f"{columns}",
            "messages": [
                {"role": "user", "content": [{"type": "image", "media": 0}]},
                {"role": "assistant", "content": [{"type": "text", "text": "a row of squares"}]},
            ],
            "media": [{"kind": "image", "uri": f"{columns}.png"}],
        }
        for columns in (1, 3, 3, 1)
    ]
    data = write_lines(tmp_path / "data.jsonl", rows)
    settings = ["batch_size=2", "max_steps=3", "weight_decay=0.1", "max_tokens=512"]
    where = [f"model={folder}", f"data={data}", f"out={tmp_path / 'out'}"]
    run_stage(load_recipe("align", [*where, *settings]))
    before, after = (
        mmmodal.load(path).get_input_embeddings().weight for path in (folder, tmp_path / "out")
    )
    moved = (before != after).any(-1).nonzero().flatten().tolist()
    mark = mmmodal.load(folder).processor.preparer.markers["image"]
    assert moved == sorted([mark.begin, mark.end, mark.separator])


def test_modalities_are_added_to_a_tiled_model_and_tiles_to_others(
    parts: dict[str, Path], folder: Path, model: MMModalForConditionalGeneration, tmp_path: Path
) -> None:
    ears = encoders_of(parts, "audio")
    mmmodal.compose(tmp_path / "more", from_model=folder, encoders=ears)
    more = mmmodal.load(tmp_path / "more")
    assert more.processor.preparer.markers["image"] == model.processor.preparer.markers["image"]
    assert more.processor.preparer.markers["audio"].separator is None
    found, expected = logits_of(more, CHATS[2]), logits_of(model, CHATS[2])
    torch.testing.assert_close(found[..., : expected.shape[-1]], expected, atol=1e-5, rtol=0)

    compose(parts["llama"], parts, tmp_path / "ears", kinds=["audio"])
    mmmodal.compose(tmp_path / "both", from_model=tmp_path / "ears", encoders={"image": "mosaic"})
    both = mmmodal.load(tmp_path / "both")
    separator = both.config.image_separator_token_id
    assert separator in ids_of(both, wide(2))
    assert separator in both.config.never_generated()


def test_a_chat_never_goes_on_from_the_middle_of_a_medium(
    model: MMModalForConditionalGeneration,
) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=4, min_new_tokens=4)
    chat.say("first", images=[wide(2)])
    ids = list(chat._cached_ids)
    mark = model.processor.preparer.markers["image"]
    # As if the picture before had ended where this one's second tile begins.
    chat._cached_ids[ids.index(mark.separator)] = mark.end
    assert chat._reusable(ids) == ids.index(mark.begin)


def test_turns_with_tiles_equal_a_conversation_read_at_once(
    model: MMModalForConditionalGeneration,
) -> None:
    settings = {"max_new_tokens": 6, "min_new_tokens": 6}
    chat = mmmodal.Chat(model, **settings)
    spoken = [chat.say("first", images=[wide(2)]), chat.say("then", images=[wide(3)])]
    anew = mmmodal.Chat(model, **settings)
    answers = []
    for text, columns in (("first", 2), ("then", 3)):
        anew._cache, anew._cached_ids = None, []
        answers.append(anew.say(text, images=[wide(columns)]))
    assert spoken == answers
