"""Contracts of transformers' models that its Trainer, PEFT, compilers and other tools build on."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
from transformers.trainer_pt_utils import LabelSmoother

import mmmodal
from mmmodal.model.modeling import MMModalForConditionalGeneration
from worlds import batch_of, clip, compose, picture, user

TEXT = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture
def model(start: Path) -> Any:
    """A model of each test's own: some train it."""
    return mmmodal.load(start)


@pytest.fixture
def batch(model: Any) -> dict[str, Any]:
    return dict(batch_of(model, [[user(picture(1), clip(1), "What?")]]))


@pytest.mark.parametrize("by", ["argument", "config"])
@pytest.mark.parametrize("base", [False, True], ids=["whole", "base"])
def test_outputs_are_tuples_where_that_is_asked(
    model: Any, batch: dict[str, Any], by: str, base: bool
) -> None:
    network = model.model if base else model
    named = network(**batch)
    more = {"return_dict": False} if by == "argument" else {}
    if by == "config":
        model.config.return_dict = False
    found = network(**batch, **more)
    assert isinstance(found, tuple) and torch.equal(found[0], named[0])
    if not base:
        loss, logits, *_ = network(**batch, **more, labels=batch["input_ids"])
        assert loss.ndim == 0 and torch.equal(logits, named.logits)
    if by == "config":
        assert network(**batch, return_dict=True).keys() == named.keys()


def test_hidden_states_and_attentions_are_those_of_the_language_model(
    start: Path, batch: dict[str, Any]
) -> None:
    model: Any = mmmodal.load(start, attn_implementation="eager")
    layers = model.config.text_config.num_hidden_layers
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    length = batch["input_ids"].shape[1]
    assert [state.shape[1] for state in output.hidden_states] == [length] * (layers + 1)
    assert [each.shape[-2:] for each in output.attentions] == [(length, length)] * layers
    assert torch.equal(model.lm_head(output.hidden_states[-1]), output.logits)
    assert model(**batch).hidden_states is None
    model.config.text_config.output_hidden_states = True
    assert len(model(**batch).hidden_states) == layers + 1


def test_the_head_is_in_the_plans_of_parallel_loading(model: Any) -> None:
    assert model.tp_plan["lm_head"] == "colwise_gather_output"
    layer = "model.language_model.layers.*.self_attn.q_proj"
    assert model.tp_plan[layer] == "colwise"
    assert "lm_head" in model.pp_plan


def test_a_text_prompt_is_one_graph(model: Any) -> None:
    expected = model(TEXT).logits
    for compiled in (model.forward, model):
        torch.compiler.reset()
        found = torch.compile(compiled, fullgraph=True, backend="eager")(input_ids=TEXT)
        assert torch.equal(found.logits, expected)
    slots = TEXT.clone()
    slots[0, 1] = model.config.image_token_id
    with pytest.raises(RuntimeError, match="image slots without features"):
        torch.compile(model.forward, fullgraph=True, backend="eager")(input_ids=slots)
    torch.compiler.reset()


def test_a_text_prompt_is_exported(model: Any) -> None:
    inputs = {"input_ids": TEXT, "use_cache": False}
    program = torch.export.export(model, (), kwargs=inputs, strict=False)
    torch.testing.assert_close(program.module()(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize("kinds", [("image",), ("audio", "image")], ids=["image", "both"])
def test_the_signature_names_the_tensors_of_the_models_own_modalities(
    parts: dict[str, Path], kinds: tuple[str, ...]
) -> None:
    model: Any = compose(parts["llama"], parts, kinds=kinds)
    named = set(inspect.signature(model.forward).parameters)
    assert {"input_ids", "labels", "pixel_values", "kwargs"} < named
    assert ("input_features" in named) == ("audio" in kinds)
    assert "pixel_values" not in inspect.signature(type(model).forward).parameters
    images, clips = [user(picture(1), "a")], [user(clip(1), "a")]
    for chat in [images, clips][: len(kinds)]:
        assert set(batch_of(model, [chat])) <= named
    assert model(input_ids=TEXT).logits.shape[1] == 4


def test_the_signature_grows_with_a_modality(parts: dict[str, Path], tmp_path: Path) -> None:
    compose(parts["llama"], parts, tmp_path / "image", kinds=["image"])
    more = {"audio": f"whisper:{parts['whisper']}"}
    both = mmmodal.compose(from_model=tmp_path / "image", encoders=more)
    assert "input_features_lengths" in inspect.signature(both.forward).parameters


def rows(model: Any) -> Dataset:
    """A dataset of prepared samples, as `map` writes them."""
    chat = [user(picture(1), "What?"), {"role": "assistant", "content": "red"}]
    tokens = dict(model.processor.apply_chat_template(chat, tokenize=True, return_dict=True))
    row = {name: value[0].numpy() for name, value in tokens.items()}
    more = {"labels": row["input_ids"], "note": "dropped", "length": 3}
    return Dataset.from_list([row | more] * 4).with_format("torch")


def trainer(model: Any, out: Path, data: Any, **more: Any) -> Trainer:
    settings = {name: more.pop(name) for name in list(more) if name in ("label_smoothing_factor",)}
    arguments = TrainingArguments(
        output_dir=str(out), max_steps=1, per_device_train_batch_size=2, learning_rate=1e-3,
        report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True, **settings,
    )  # fmt: skip
    return Trainer(model=model, args=arguments, train_dataset=data, eval_dataset=data, **more)


@pytest.mark.parametrize("adapted", [False, True], ids=["whole", "PEFT"])
def test_the_trainer_keeps_the_columns_of_media(model: Any, tmp_path: Path, adapted: bool) -> None:
    data, network = rows(model), model
    if adapted:
        layers = r".*language_model.*\.q_proj"
        network = peft.get_peft_model(model, peft.LoraConfig(target_modules=layers))
    run = trainer(network, tmp_path, data)
    assert run.args.remove_unused_columns
    assert run.train().training_loss > 0
    assert run.model_accepts_loss_kwargs and run.label_names == ["labels"]
    found = run.predict(data)
    assert found.predictions.shape[:2] == (4, len(data[0]["input_ids"]))
    assert found.metrics["test_loss"] > 0


def test_the_trainers_own_losses_get_logits(model: Any, tmp_path: Path) -> None:
    """A function of the user, label smoothing; both are given the logits and shifted labels."""
    data, seen = rows(model), []

    def own(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        seen.append((outputs.logits.shape[:2] == labels.shape, int(num_items_in_batch)))
        loss: torch.Tensor = torch.nn.functional.cross_entropy(
            outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
        )
        return loss / num_items_in_batch

    trainer(model, tmp_path, data, compute_loss_func=own).train()
    assert seen == [(True, 2 * (len(data[0]["labels"]) - 1))] or seen[0][0]

    smooth = trainer(model, tmp_path, data, label_smoothing_factor=0.1)
    inputs = {k: torch.stack([row[k] for row in data]) for k in data.column_names if k in BATCH}
    found = smooth.compute_loss(model, dict(inputs))
    labels = inputs.pop("labels")
    expected = LabelSmoother(0.1)(model(**inputs), labels, shift_labels=True)
    torch.testing.assert_close(found, expected)


BATCH = ("input_ids", "attention_mask", "labels", "pixel_values", "pixel_values_counts")


def test_a_loss_of_a_part_of_a_batch_is_divided_by_the_whole(model: Any) -> None:
    batch = dict(batch_of(model, [[user(picture(1), "What?")]]))
    labels = batch["input_ids"]
    count = labels.shape[1] - 1
    model.train()
    whole, part = (model(**batch, labels=labels, num_items_in_batch=n) for n in (count, 4 * count))
    torch.testing.assert_close(whole.loss / 4, part.loss)
    assert whole.logits.requires_grad


CONFIGS = {
    "LoRA": peft.LoraConfig(target_modules=r".*language_model.*\.q_proj", task_type="CAUSAL_LM"),
    "prompt tuning": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "prefix tuning": peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "IA3": peft.IA3Config(
        target_modules=r".*language_model.*\.k_proj", feedforward_modules=[], task_type="CAUSAL_LM"
    ),
}


@pytest.mark.filterwarnings("ignore:Position ids are not supported:UserWarning")
@pytest.mark.parametrize("kind", CONFIGS)
def test_peft_trains_a_step_on_media_and_generates(
    model: Any, batch: dict[str, Any], kind: str
) -> None:
    adapted: Any = peft.get_peft_model(model, CONFIGS[kind]).train()
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in trained]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    for _ in range(2):  # the second matrix of LoRA starts at zero
        optimizer.zero_grad()
        output = adapted(**batch, labels=batch["input_ids"])
        assert output.logits is not None
        output.loss.backward()
        optimizer.step()
    assert any(not torch.equal(*pair) for pair in zip(before, trained, strict=True))
    adapted.eval()
    settings = {"max_new_tokens": 3, "do_sample": False, "output_logits": True}
    found = adapted.generate(**batch, **settings, return_dict_in_generate=True)
    with torch.no_grad():
        expected = adapted(**batch).logits[:, -1]
        blank = {**batch, "pixel_values": torch.zeros_like(batch["pixel_values"])}
        other = adapted(**blank).logits[:, -1]
    torch.testing.assert_close(found.logits[0], expected, atol=1e-4, rtol=0)
    assert not torch.allclose(other, expected, atol=1e-3)  # the picture is seen


def test_it_is_a_causal_language_model_of_transformers(start: Path) -> None:
    import mmmodal.auto

    assert mmmodal.auto.MMModalForConditionalGeneration is MMModalForConditionalGeneration
    assert isinstance(AutoModelForCausalLM.from_pretrained(start), MMModalForConditionalGeneration)


def test_saved_folders_hold_no_path_of_this_machine(parts: dict[str, Path], tmp_path: Path) -> None:
    """Sources on the Hub are kept, also in a folder that is loaded and saved again."""
    compose(parts["llama"], parts, tmp_path / "composed")
    path = tmp_path / "composed/config.json"
    config = json.loads(path.read_text())
    config["text_config"]["_name_or_path"] = "lab/words"
    path.write_text(json.dumps(config))
    model = mmmodal.load(tmp_path / "composed")
    model.save_pretrained(tmp_path / "again")
    model.processor.save_pretrained(tmp_path / "again")
    for folder in (tmp_path / "composed", tmp_path / "again"):
        texts = {
            file.name: file.read_text()
            for file in folder.iterdir()
            if file.suffix in (".json", ".jinja", ".md", ".txt", ".yaml")
        }
        assert "config.json" in texts and "tokenizer_config.json" in texts
        for place in {tmp_path.anchor + tmp_path.parts[1], str(parts["llama"].parent)}:
            assert not [name for name, text in texts.items() if f"{place}/" in text]
        assert json.loads(texts["config.json"])["text_config"]["_name_or_path"] == "lab/words"
