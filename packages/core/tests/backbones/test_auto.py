"""Any causal language model is a backbone; what is none is refused with what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import mmmodal
from fake_packages import run_python
from mmmodal.backbones.auto import AutoBackbone, AutoOptions, with_variables
from mmmodal.cli.main import run
from mmmodal.config import validate
from mmmodal.contracts.record import text_message
from mmmodal.conversation.rendering import Renderer
from mmmodal.errors import ConfigError, PartError, RenderError
from mmmodal.testing.languages import tiny_tokenizer

PLAIN = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


@pytest.fixture
def bare(parts: dict[str, Path], tmp_path: Path) -> Path:
    """Return a language model without a chat template."""
    folder = Path(shutil.copytree(parts["llama"], tmp_path / "bare"))
    (folder / "chat_template.jinja").unlink()
    return folder


def test_a_model_without_a_chat_template_says_how_to_give_one(bare: Path) -> None:
    advice = "--chat-template FILE, or as chat_template.jinja in the model's folder"
    with pytest.raises(RenderError, match=f"{bare} has no chat template; .*{advice}"):
        mmmodal.compose(backbone=f"auto:{bare}")


def test_a_template_in_the_folder_is_found(bare: Path) -> None:
    (bare / "chat_template.jinja").write_text(PLAIN)
    assert mmmodal.compose(backbone=f"auto:{bare}").processor.chat_template == PLAIN


def test_a_template_can_be_given_as_text(bare: Path) -> None:
    model = mmmodal.compose(backbone=f"auto:{bare}", chat_template=PLAIN)
    assert model.processor.chat_template == PLAIN


def test_a_template_can_be_given_as_an_option_of_the_backbone(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(PLAIN)
    options = {"chat_template": tmp_path / "mine.jinja"}
    part = mmmodal.Part(name="auto", source=str(bare), options=options)
    assert mmmodal.compose(backbone=part).processor.chat_template == PLAIN


def test_a_template_file_that_is_not_there_is_named(bare: Path, tmp_path: Path) -> None:
    backbone = AutoBackbone(AutoOptions(chat_template=tmp_path / "none.jinja"))
    with pytest.raises(PartError, match=r"none\.jinja cannot be read \(FileNotFoundError\)"):
        backbone.tokenizer(str(bare))


def test_of_several_templates_the_default_one_is_taken(bare: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.chat_template = {"default": PLAIN, "rag": "no"}
    tokenizer.save_pretrained(bare)
    assert AutoBackbone().tokenizer(str(bare)).chat_template == PLAIN


def test_what_a_template_is_told_is_kept_in_the_composed_model(
    parts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--backbone", f"auto:{parts['qwen2']}"]
    arguments += ["--set", "backbone.template_variables={enable_thinking: false, date: 1 May}"]
    assert run(["compose", str(tmp_path / "out"), *arguments]) == 0, capsys.readouterr().err
    template = (tmp_path / "out/chat_template.jinja").read_text()
    assert template.startswith('{% set enable_thinking = false +%}{% set date = "1 May" +%}')


def test_variables_win_over_what_a_template_assumes_and_write_nothing() -> None:
    tokenizer = tiny_tokenizer("qwen3")
    messages = [text_message("user", "x")]
    thinking = Renderer(tokenizer, {}).text(messages, add_generation_prompt=True)
    tokenizer.chat_template = with_variables(tokenizer.chat_template, {"enable_thinking": False})
    quick = Renderer(tokenizer, {}).text(messages, add_generation_prompt=True)
    assert quick == f"{thinking}<think>\n\n</think>\n\n"


def test_a_variable_must_be_a_name() -> None:
    with pytest.raises(ConfigError, match="template_variables"):
        validate(AutoOptions, {"template_variables": {"a %}{{ 1": True}}, "options")


def test_an_option_of_a_backbone_needs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--from", str(tmp_path), "--set", "backbone.chat_template=x"]
    assert run(["compose", str(tmp_path / "out"), *arguments]) == 2
    assert "an option of the backbone needs --backbone" in capsys.readouterr().err


def test_a_tokenizer_without_an_end_token_is_refused(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(parts["llama"], tmp_path / "endless"))
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings["eos_token"] = None
    path.write_text(json.dumps(settings))
    with pytest.raises(PartError, match="endless has no end token, .*tokenizer_config.json"):
        AutoBackbone().tokenizer(str(folder))


FIND = """
import sys
from mmmodal.errors import PartError
from mmmodal.parts import find
for name in sys.argv[1:]:
    try: find("backbones", name)
    except PartError as error: print(error)
"""


def test_an_unknown_backbone_is_told_with_what_was_meant() -> None:
    told = run_python("-c", FIND, "qwen-3-0.6b", "smolm3-3b", "tinylama-1.1b").stdout.splitlines()
    assert told == [
        "unknown backbone 'qwen-3-0.6b'. Did you mean 'qwen3-0.6b'?",
        "unknown backbone 'smolm3-3b'. Did you mean 'smollm3-3b'?",
        "unknown backbone 'tinylama-1.1b'. Did you mean 'tinyllama-1.1b'?",
    ]


def test_a_backbone_of_a_package_that_is_not_there_names_the_package() -> None:
    from importlib.resources import files

    from mmmodal_backbones import BACKBONES

    names = [backbone.name for backbone in BACKBONES]
    told = run_python("-c", FIND, *names, MMMODAL_PLUGINS="").stdout.splitlines()
    assert len(told) == len(names)
    assert all("comes from mmmodal-backbones, which is disabled" in line for line in told)
    book = json.loads(files("mmmodal").joinpath("known_parts.json").read_text())["backbones"]
    assert set(book.values()) == {"mmmodal-backbones"}
