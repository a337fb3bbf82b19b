"""A language model works as a backbone, or is refused when composing, in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import mmmodal
from any_language_model import write_language_model
from mmmodal.cli.main import run
from mmmodal.errors import ConfigError, PartError
from mmmodal.making.loading import save
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.train.preflight.preflight import check_recipe
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.pack_check import check_separable, keeps_apart
from mmmodal.train.stage.stage import run_stage
from worlds import (
    batch_of,
    compose,
    encoders_of,
    logits_of,
    picture,
    record,
    user,
    write_lines,
)

SHORT: dict[str, Any] = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
ASKED = [user(picture(1), "What is this?")]
LONGER = [user("What is it, and where is it?", picture(2))]

REFUSED = {
    "bart": r"BartForCausalLM cannot be a backbone: it is a part of a larger model, .* BartModel",
    "bert": "is a 'bert' encoder with bidirectional attention",
    "xlnet": "its tokens attend to later ones; a backbone needs causal attention",
    "gemma4_text": "it reads the ids of tokens besides their embeddings, and media have none",
    "deepseek_v4": "it reads the ids of tokens besides their embeddings, and media have none",
    "modernbert-decoder": "its head has more weights than one linear layer",
    "gemma3": "is a 'gemma3' model, which reads media itself",
    "git": "is a 'git' model, which reads media itself",
    "moshi": "is a 'moshi' model, which reads media itself",
}


def pictures(root: Path) -> Path:
    """Return the file of two conversations, each about a picture."""
    for number in (1, 2):
        picture(number).save(root / f"{number}.png")
    rows = [record(str(n), ("image", f"{n}.png"), asked="What is it?") for n in (1, 2)]
    return write_lines(root / "data.jsonl", rows)


def make(
    family: str, parts: dict[str, Path], root: Path, **more: Any
) -> MMModalForConditionalGeneration:
    write_language_model(root / "lm", family, **more)
    return compose(root / "lm", parts, root / "composed", kinds=["image"])


@pytest.mark.filterwarnings("ignore")  # of a family's own code
@pytest.mark.parametrize("family", REFUSED)
def test_what_cannot_be_a_backbone_is_refused_with_what_is_missing(
    family: str, parts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_language_model(tmp_path / "lm", family)
    with pytest.raises(PartError, match=REFUSED[family]):
        compose(tmp_path / "lm", parts, kinds=["image"])
    encoder = f"image={encoders_of(parts, 'image')['image']}"
    arguments = ["--backbone", f"auto:{tmp_path / 'lm'}", "--encoder", encoder]
    assert run(["compose", str(tmp_path / "out"), *arguments]) == 1
    told = capsys.readouterr().err
    assert "unexpected" not in told and "Traceback" not in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("width", [64, 32], ids=["as-wide-as-its-layers", "projected"])
def test_opt_works_with_embeddings_of_any_width(
    width: int, parts: dict[str, Path], tmp_path: Path
) -> None:
    model = make("opt", parts, tmp_path, word_embed_proj_dim=width)
    assert model.model.width == width
    features = model.get_image_features(batch_of(model, [ASKED])["pixel_values"])
    assert features.pooler_output.shape[1] == width
    bare = AutoModelForCausalLM.from_pretrained(tmp_path / "lm").eval()
    ids = torch.arange(20)[None] + 3
    with torch.no_grad():
        expected, found = bare(ids).logits, model(ids).logits
    torch.testing.assert_close(found[..., : expected.shape[-1]], expected, atol=1e-5, rtol=0)
    again = mmmodal.load(save(model, tmp_path / "again"))
    assert torch.equal(logits_of(again, ASKED), logits_of(model, ASKED))


@pytest.mark.parametrize("family", ["opt", "mamba", "mixtral"])
def test_it_trains_in_both_stages(family: str, parts: dict[str, Path], tmp_path: Path) -> None:
    more = {"word_embed_proj_dim": 32} if family == "opt" else {}
    make(family, parts, tmp_path, **more)
    data = pictures(tmp_path)
    start = tmp_path / "composed"
    for stage in ("align", "instruct"):
        values = {"model": start, "data": data, "out": tmp_path / stage, "max_steps": 2}
        settings = [f"{key}={value}" for key, value in values.items()]
        recipe = load_recipe(stage, [*settings, "max_tokens=1024", "batch_size=2"])
        assert check_recipe(recipe).problems == []
        assert run_stage(recipe).finished
        start = tmp_path / stage
    assert mmmodal.Chat(mmmodal.load(start), max_new_tokens=2).say("Hello!") is not None


@pytest.mark.parametrize("family", ["mamba", "jamba", "recurrent_gemma", "rwkv", "bloom", "mpt"])
def test_packing_is_refused_where_samples_cannot_be_separated(
    family: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    model = make(family, parts, tmp_path)
    language: Any = model.get_decoder()
    assert not keeps_apart(language)
    reason = "takes no positions" if family in ("bloom", "mpt") else "keeps a state"
    with pytest.raises(ConfigError, match=f"{type(language).__name__} {reason}"):
        check_separable(language)
    data = pictures(tmp_path)
    values = {"model": tmp_path / "composed", "data": data, "out": tmp_path / "out"}
    settings = [*(f"{key}={value}" for key, value in values.items()), "packing=true"]
    problems = check_recipe(load_recipe("align", [*settings, "max_tokens=1024"])).problems
    assert any(reason in problem and "packing=false" in problem for problem in problems)


@pytest.mark.parametrize("family", ["bamba", "jamba", "qwen3_next", "mamba", "lfm2_moe", "xlstm"])
def test_a_chat_with_a_recurrent_one_says_what_reading_everything_says(
    family: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    model = make(family, parts, tmp_path)
    kept, anew = (mmmodal.Chat(model, max_new_tokens=4, min_new_tokens=4) for _ in range(2))
    for text, pictures in (("What is this?", [1]), ("And now?", []), ("Which?", [2, 1])):
        anew._cache, anew._cached_ids = None, []
        shown = [picture(seed) for seed in pictures]
        assert kept.say(text, images=shown) == anew.say(text, images=shown)


@pytest.mark.parametrize("family", ["rwkv", "xlstm", "recurrent_gemma"])
def test_prompts_of_different_lengths_are_refused_where_padding_is_read(
    family: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    make(family, parts, tmp_path)
    model = mmmodal.load(tmp_path / "composed")
    for chat in (ASKED, LONGER):
        assert model.generate(**batch_of(model, [chat]), **SHORT).shape[0] == 1
    with pytest.raises(ConfigError, match="reads padding as text; .* one at a time"):
        model.generate(**batch_of(model, [ASKED, LONGER]), **SHORT)


@pytest.mark.parametrize("family", ["mamba", "bloom", "mpt", "falcon", "gpt2", "ctrl", "opt"])
def test_padding_is_not_read(family: str, parts: dict[str, Path], tmp_path: Path) -> None:
    model = make(family, parts, tmp_path)
    assert not model.config.reads_padding
    both = batch_of(model, [ASKED, LONGER])
    said = model.generate(**both, **SHORT)[:, -4:]
    for row, chat in enumerate((ASKED, LONGER)):
        assert torch.equal(said[row], model.generate(**batch_of(model, [chat]), **SHORT)[0, -4:])


def test_buffers_that_other_modules_set_are_restored(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    """Falcon-H1's multipliers are buffers of its layers that the whole model fills."""
    multipliers = [0.5, 0.7, 0.9, 1.1, 1.3]
    model = make("falcon_h1", parts, tmp_path, ssm_multipliers=multipliers)
    again = mmmodal.load(tmp_path / "composed")
    vectors = [m.get_decoder().layers[0].mamba.mup_vector for m in (model, again)]
    assert torch.equal(*vectors) and len(vectors[0].unique()) > 1
    assert torch.equal(logits_of(again, ASKED), logits_of(model, ASKED))
