"""How a model is run is the user's choice: attention, precision, quantization."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import mmmodal
from forking import run_forked
from mmmodal.errors import CheckpointError, ConfigError
from mmmodal.making.loading import save
from mmmodal.model.attention import check_attention
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.inputs import load_model
from mmmodal.train.stage.plan import Plan
from worlds import batch_of, clip, compose, logits_of, user

CHAT = [user(clip(), "What is this?")]


def test_the_language_model_computes_attention_as_asked_with_the_same_result(
    start: Path,
) -> None:
    eager, sdpa = (mmmodal.load(start, attn_implementation=name) for name in ("eager", "sdpa"))
    for model, name in ((eager, "eager"), (sdpa, "sdpa")):
        assert model.model.language_model.config._attn_implementation == name
        assert model.config._attn_implementation == name
        assert model.model.tower("image").config._attn_implementation == "sdpa"
    torch.testing.assert_close(logits_of(eager, CHAT), logits_of(sdpa, CHAT), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.timeout(900)  # torch compiles it when it first runs
def test_flex_attention_gives_the_same_result(start: Path) -> None:
    flex = mmmodal.load(start, attn_implementation="flex_attention")
    assert flex.model.language_model.config._attn_implementation == "flex_attention"
    expected = logits_of(mmmodal.load(start), CHAT)
    torch.testing.assert_close(logits_of(flex, CHAT), expected, atol=1e-4, rtol=0)


def test_attention_is_chosen_on_composing_too_and_is_not_written(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    model = compose(
        parts["llama"], parts, tmp_path / "out", kinds=["image"], attn_implementation="eager"
    )
    assert model.model.language_model.config._attn_implementation == "eager"
    assert "attn_implementation" not in (tmp_path / "out/config.json").read_text()
    again = mmmodal.load(tmp_path / "out")
    assert again.model.language_model.config._attn_implementation == "sdpa"


def test_a_stage_is_trained_with_the_attention_of_its_recipe(start: Path, tmp_path: Path) -> None:
    values = [f"model={start}", "data=b", f"out={tmp_path}", "attn_implementation=eager"]
    recipe = load_recipe("align", values)
    plan = Plan.of(recipe, str(recipe.model), has_gpu=False)
    model = load_model(str(recipe.model), recipe, plan)
    assert model.model.language_model.config._attn_implementation == "eager"


def test_the_command_line_says_how_a_model_is_loaded(start: Path) -> None:
    options = ["--max-new-tokens", "2", "--dtype", "bfloat16", "--attn-implementation"]
    for name, code in (("eager", 0), ("flash_attention_2", int(not torch.cuda.is_available()))):
        done = run_forked("generate", start, "--prompt", "Hello!", *options, name)
        assert done.returncode == code, done.stderr
        if code:
            assert done.stderr.strip().endswith("but there is none; use sdpa")


def test_an_unknown_attention_suggests_a_known_one(start: Path) -> None:
    with pytest.raises(ConfigError, match="'flash_attention' is unknown. Did you mean 'flash_att"):
        mmmodal.load(start, attn_implementation="flash_attention")
    with pytest.raises(ConfigError, match="'attn_implementation'"):
        load_recipe("align", ["model=a", "data=b", "out=c", "attn_implementation=fast"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_flash_attention_without_a_gpu_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="flash_attention_2 needs a GPU, but there is none"):
        check_attention("flash_attention_2")
    with pytest.raises(ConfigError, match="needs a GPU"):
        mmmodal.compose(
            tmp_path / "out", backbone="auto:nowhere", attn_implementation="flash_attention_2"
        )


def test_attention_that_the_language_model_lacks_is_refused(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(parts["llama"])
    tokenizer.save_pretrained(tmp_path)
    config = AutoConfig.for_model(
        "gpt_neo",
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        bos_token_id=1,
        eos_token_id=2,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="GPTNeoModel does not support flex_attention; use eager"):
        compose(tmp_path, parts, kinds=["image"], attn_implementation="flex_attention")


@pytest.mark.parametrize(
    ("word", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("float16", torch.float16)],
)
def test_a_model_is_held_in_the_precision_asked_for(
    start: Path, word: str, dtype: torch.dtype
) -> None:
    model = mmmodal.load(start, dtype=word)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    expected, found = logits_of(mmmodal.load(start), CHAT), logits_of(model, CHAT)
    assert found.dtype == dtype
    scale = expected.abs().max()
    assert (found.float() - expected).abs().max() < 0.05 * scale
    assert model.generate(**batch_of(model, [CHAT]), max_new_tokens=4).shape[1] > 4


def test_an_unknown_precision_suggests_a_known_one(start: Path) -> None:
    with pytest.raises(ConfigError, match="'bf61' is unknown. Did you mean 'bf16'"):
        mmmodal.load(start, dtype="bf61")


def test_an_unknown_quantization_names_the_known_ones(start: Path) -> None:
    with pytest.raises(ConfigError, match="'3bit' is unknown"):
        mmmodal.load(start, quantization="3bit")


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="it is installed")
def test_quantization_without_its_package_says_what_to_install(start: Path) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'mmmodal-core\[quantization\]'"):
        mmmodal.load(start, quantization="4bit")


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is an extra")
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_the_language_model_alone_is_quantized(start: Path, tmp_path: Path, bits: str) -> None:
    whole, model = mmmodal.load(start), mmmodal.load(start, quantization=bits)
    small = {
        name.split(".")[1]
        for name, parameter in model.named_parameters()
        if parameter.dtype in (torch.uint8, torch.int8)
    }
    assert small == {"language_model"}
    assert model.lm_head.weight.dtype == whole.lm_head.weight.dtype
    found, expected = logits_of(model, CHAT), logits_of(whole, CHAT)
    assert torch.nn.functional.cosine_similarity(found, expected, dim=-1).min() > 0.9
    assert model.generate(**batch_of(model, [CHAT]), max_new_tokens=4).shape[1] > 4
    with pytest.raises(CheckpointError, match="a quantized model cannot be saved"):
        save(model, tmp_path / "out")
