"""TRL's trainers train a composed model, one step each, from rows with a column of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from worlds import picture

trl = pytest.importorskip(
    "trl", reason="TRL needs datasets 4.7, newer than the oldest that core declares"
)

# TRL warns of its own ways: of copies of tensors, for example.
pytestmark = pytest.mark.filterwarnings("default")

from datasets import Dataset  # noqa: E402 - after the check

import mmmodal  # noqa: E402
from mmmodal.model.modeling import MMModalForConditionalGeneration  # noqa: E402
from mmmodal.model.processing import MMModalProcessor  # noqa: E402

QUESTION = {"role": "user", "content": "What is it?"}
SHOWN = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}
ANSWER = {"role": "assistant", "content": "A red star."}
OTHER = {"role": "assistant", "content": "No."}
SAID = {"role": "assistant", "content": [{"type": "text", "text": "A red star."}]}

ROWS: dict[str, dict[str, Any]] = {
    "messages": {"messages": [SHOWN, SAID]},
    "messages of strings": {"messages": [QUESTION, ANSWER]},
    "prompt and completion": {"prompt": [QUESTION], "completion": [ANSWER]},
    "rendered text": {"text": "<image> What is it? A red star."},
}

GENERATION = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@pytest.fixture
def trained(start: Path) -> MMModalForConditionalGeneration:
    """A model of its own for each test, as a trainer changes it."""
    return mmmodal.load(start)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "output_dir": str(tmp_path / "out"),
        "max_steps": 1,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-2,
        "disable_tqdm": True,
    }


def rows(row: dict[str, Any], count: int = 2) -> Any:
    return Dataset.from_list([{**row, "images": [picture(seed)]} for seed in range(count)])


def train(trainer: Any, model: MMModalForConditionalGeneration) -> float:
    """Train one step, in which a weight must change; return the loss."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = float(trainer.train().training_loss)
    assert torch.tensor(loss).isfinite()
    after = dict(trainer.model.named_parameters())
    assert any(not torch.equal(p, after.get(name, p)) for name, p in before.items()) or any(
        "lora_B" in name and p.any() for name, p in after.items()
    )
    return loss


@pytest.mark.parametrize("form", ROWS)
def test_sft_of_rows_with_images(
    trained: MMModalForConditionalGeneration, settings: dict[str, Any], form: str
) -> None:
    trainer = trl.SFTTrainer(
        model=trained,
        # TRL does not keep the column of rendered text by itself.
        args=trl.SFTConfig(**settings, max_length=None, remove_unused_columns="text" not in form),
        train_dataset=rows(ROWS[form]),
        processing_class=trained.processor,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["pixel_values"].shape[0] == 2
    assert (batch["input_ids"] == trained.processor.image_token_id).sum() == 32
    assert train(trainer, trained) > 0


def test_sft_learns_what_our_own_rendering_teaches(
    trained: MMModalForConditionalGeneration, settings: dict[str, Any]
) -> None:
    """The ids of TRL's batch, and the answers that it marks, are those of `prepare`."""
    processor = trained.processor
    processor.chat_template = GENERATION
    chat = [SHOWN, SAID]
    trainer = trl.SFTTrainer(
        model=trained,
        args=trl.SFTConfig(**settings, max_length=64, assistant_only_loss=True),
        train_dataset=rows({"messages": chat}),
        processing_class=processor,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    part = {"type": "image", "image": picture(0)}
    filled = [{"role": "user", "content": [part, SHOWN["content"][1]]}, ANSWER]
    plain = processor.apply_chat_template(
        filled, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    row = batch["input_ids"][0][batch["attention_mask"][0].bool()]
    assert torch.equal(row, plain["input_ids"][0])
    learned = batch["labels"][0][batch["attention_mask"][0].bool()] != -100
    assert torch.equal(learned, plain["assistant_masks"][0].bool())
    assert processor.decode(row[learned]).replace(" ", "") == "Aredstar.</s>"
    train(trainer, trained)


def test_sft_with_loss_on_answers_of_a_template_that_trl_knows(
    composed: Callable[[str], Path], settings: dict[str, Any]
) -> None:
    from trl.chat_template_utils import qwen2_5_chat_template

    model = mmmodal.load(composed("qwen2"))
    processor = model.processor
    processor.chat_template = processor.tokenizer.chat_template = qwen2_5_chat_template
    trainer = trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(**settings, max_length=None, assistant_only_loss=True),
        train_dataset=rows({"messages": [SHOWN, SAID]}),
        processing_class=processor,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    learned = batch["labels"][0][batch["labels"][0] != -100]
    assert processor.decode(learned).strip() == "A red star.<|im_end|>"
    train(trainer, model)


def test_sft_refuses_to_cut_an_image(
    trained: MMModalForConditionalGeneration, settings: dict[str, Any]
) -> None:
    trainer = trl.SFTTrainer(
        model=trained,
        args=trl.SFTConfig(**settings, max_length=8),
        train_dataset=rows(ROWS["messages"]),
        processing_class=trained.processor,
    )
    with pytest.raises(mmmodal.MMModalError, match="truncation to 8 would cut its media"):
        trainer.train()


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [QUESTION, ANSWER]},
        {"prompt": [QUESTION], "completion": [ANSWER]},
        {"text": "What is it?"},
        {"prompt": "What is it?", "completion": " A star."},
    ],
    ids=["messages", "prompt and completion", "text", "prompt and completion of text"],
)
def test_sft_of_text_alone(
    trained: MMModalForConditionalGeneration, settings: dict[str, Any], row: dict[str, Any]
) -> None:
    trainer = trl.SFTTrainer(
        model=trained,
        args=trl.SFTConfig(**settings),
        train_dataset=Dataset.from_list([row] * 2),
        processing_class=trained.processor,
    )
    assert train(trainer, trained) > 0


def test_sft_by_the_name_of_the_folder(start: Path, settings: dict[str, Any]) -> None:
    import mmmodal.auto  # noqa: F401 - what a user imports

    trainer = trl.SFTTrainer(
        model=str(start),
        args=trl.SFTConfig(**settings, max_length=None),
        train_dataset=rows(ROWS["messages"]),
    )
    assert type(trainer.model) is MMModalForConditionalGeneration
    assert type(trainer.processing_class) is MMModalProcessor
    assert train(trainer, trainer.model) > 0


def test_sft_of_an_adapter(
    trained: MMModalForConditionalGeneration, settings: dict[str, Any]
) -> None:
    from peft import LoraConfig

    trainer = trl.SFTTrainer(
        model=trained,
        args=trl.SFTConfig(**settings, max_length=None),
        train_dataset=rows(ROWS["messages"]),
        processing_class=trained.processor,
        peft_config=LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)"),
    )
    train(trainer, trained)


@pytest.mark.parametrize("shown", [True, False], ids=["with images", "text alone"])
def test_dpo(
    start: Path, trained: MMModalForConditionalGeneration, settings: dict[str, Any], shown: bool
) -> None:
    row = {"prompt": [SHOWN if shown else QUESTION], "chosen": [ANSWER], "rejected": [OTHER]}
    trainer = trl.DPOTrainer(
        model=trained,
        args=trl.DPOConfig(**settings, max_length=None),
        train_dataset=rows(row) if shown else Dataset.from_list([row] * 2),
        processing_class=trained.processor,
    )
    assert train(trainer, trained) == pytest.approx(0.6931, abs=1e-3)  # no preference yet


def reward(completions: list[Any], **_: Any) -> list[float]:
    return [float(i % 2) for i in range(len(completions))]


@pytest.mark.parametrize("shown", [True, False], ids=["with images", "text alone"])
def test_grpo(
    trained: MMModalForConditionalGeneration, settings: dict[str, Any], shown: bool
) -> None:
    """Prompts of different lengths: none gets padding among its tokens."""
    trained.processor.text_kwargs = {"return_tensors": None}
    asked = ["What?", "What is it, my dear friend?"]
    prompts = [[{"role": "user", "content": text}] for text in asked]
    column = {"image": [picture(1), picture(2)]} if shown else {}
    trainer = trl.GRPOTrainer(
        model=trained,
        reward_funcs=reward,
        args=trl.GRPOConfig(
            **{**settings, "per_device_train_batch_size": 4},
            num_generations=2,
            max_completion_length=4,
        ),
        train_dataset=Dataset.from_dict({"prompt": prompts, **column}),
        processing_class=trained.processor,
    )
    seen: list[Any] = []
    generate = trained.generate

    def spy(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs)
        return generate(*args, **kwargs)

    trained.generate = spy
    train(trainer, trained)
    (given,) = seen
    pad = trained.processor.tokenizer.pad_token_id
    lengths = given["attention_mask"].sum(1)
    assert len(set(lengths.tolist())) == 2
    ends = given["input_ids"] == pad  # also the end of the user's turn, once
    assert ((ends & given["attention_mask"].bool()).sum(1) == 1).all()
    assert ("pixel_values" in given) == shown


@pytest.mark.parametrize("to", ["native", "trl"])
def test_sft_trains_on_rows_that_were_written_with_their_media(
    trained: MMModalForConditionalGeneration, settings: dict[str, Any], tmp_path: Path, to: str
) -> None:
    from mmmodal.contracts.record import Record
    from mmmodal.records.writing import write_records
    from worlds import record

    records = []
    for number in range(2):
        picture(number).save(tmp_path / f"{number}.png")
        row = record(f"r{number}", ("image", f"{number}.png"), asked="What?", answer="A star.")
        records.append(Record.model_validate(row))
    path = tmp_path / "a.parquet"
    write_records(records, path, media="embed", to=to)
    found = Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))

    trainer = trl.SFTTrainer(
        model=trained,
        args=trl.SFTConfig(**settings, max_length=None),
        train_dataset=found.select_columns(["messages", "images"]),
        processing_class=trained.processor,
    )

    assert next(iter(trainer.get_train_dataloader()))["pixel_values"].shape[0] == 2
    assert train(trainer, trained) > 0
