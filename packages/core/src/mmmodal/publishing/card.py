"""Write a model card from the known facts; unknown facts are stated as unknown."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import yaml

from mmmodal.publishing.facts import Facts, PartFact, StageFact

__all__ = ["is_ours", "make_card"]

SEAL = re.compile(r"\n<!-- Made by `mmmodal push` \(([0-9a-f]{16})\)[^\n]*-->\n\Z")

UNKNOWN = "unknown"


def make_card(facts: Facts, repo: str, base: str | None = None) -> str:
    """Return the text of README.md for the repository `repo`; `base` is an adapter's base model."""
    kind = "adapter" if facts.adapter else "model"
    parts = [
        f"# {repo.rpartition('/')[2]}",
        f"A chat {kind} made with [MMModal](https://pypi.org/project/mmmodal-core/). "
        + (_adapted(base) if facts.adapter else _takes(facts.modalities)),
        "## Parts",
        _table(("part", "name", "weights from", "package", "licence"), map(_part, facts.parts))
        if facts.parts
        else "The parts are those of the base model.",
        "## Training",
        *_training(facts),
        "## Results",
        _results(facts.results),
        "## How to use it",
        *(_adapter_usage(facts, repo, base) if facts.adapter else _usage(facts, repo)),
        "## Versions",
        _versions(facts),
        "## Licence",
        "The licence of these weights is not stated. The licences of the parts, as far as they are "
        "known, are in the table above.",
    ]
    return _sealed(f"---\n{_front_matter(facts, base)}---\n\n" + "\n\n".join(parts) + "\n")


def _takes(modalities: Sequence[str]) -> str:
    if not modalities:
        return "It accepts text."
    return f"It accepts text with {' and '.join(modalities)}, several in any turn."


def _adapted(base: str | None) -> str:
    return f"It is a LoRA adapter of `{base}`, which it needs and whose modalities it accepts."


def is_ours(text: str) -> bool:
    """Return whether a card was made by `make_card` and was not edited."""
    found = SEAL.search(text)
    return found is not None and found[1] == _digest(text[: found.start()])


def _sealed(text: str) -> str:
    note = "as long as nobody edits it, the next push replaces it"
    return f"{text}\n<!-- Made by `mmmodal push` ({_digest(text)}); {note}. -->\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def _front_matter(facts: Facts, base: str | None) -> str:
    sources = [part.source for part in facts.parts if part.source]
    values: dict[str, Any] = {
        "library_name": "peft" if facts.adapter else "mmmodal",
        "tags": ["mmmodal", "multimodal", *facts.modalities, *(["lora"] if facts.adapter else [])],
        "pipeline_tag": "any-to-any" if facts.modalities else "text-generation",
    }
    if facts.adapter:
        values |= {"base_model": base, "base_model_relation": "adapter"}
    elif sources:
        values["base_model"] = sources
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return text


def _part(part: PartFact) -> tuple[str, ...]:
    source = f"[{part.source}](https://huggingface.co/{part.source})" if part.source else UNKNOWN
    made = part.role.endswith(" projector")
    return (
        part.role,
        f"`{part.name}`",
        "trained here or random" if made else source,
        part.package or "transformers",
        "-" if made else part.licence or UNKNOWN,
    )


def _training(facts: Facts) -> list[str]:
    if not facts.stages:
        return ["Its training is not known."]
    rows = [_stage(number, stage) for number, stage in enumerate(facts.stages, 1)]
    columns = ("stage", "trained", "data", "conversations", "recipe", "steps", "loss")
    return [
        _table(columns, rows),
        "Earlier stages, if any, are not known; of the data, only the files' names are known.",
    ]


def _stage(number: int, stage: StageFact) -> tuple[str, ...]:
    recipe, losses = stage.recipe, stage.losses
    keys = ("learning_rate", "schedule", "batch_size", "accumulation", "epochs", "max_steps")
    settings = [f"{key} {recipe[key]}" for key in keys if recipe.get(key) is not None]
    loss = f"{losses[0]:.3f} to {losses[-1]:.3f}" if losses else UNKNOWN
    return (
        str(number),
        _trained(recipe),
        ", ".join(f"`{name}`" for name in stage.data) or UNKNOWN,
        str(recipe.get("records", UNKNOWN)),
        ", ".join(settings) or UNKNOWN,
        str(stage.steps or UNKNOWN),
        loss,
    )


def _trained(recipe: Mapping[str, Any]) -> str:
    parts = [str(part).replace("_", " ") for part in recipe.get("train", [])]
    if lora := recipe.get("lora"):
        targets = " and ".join(str(name).replace("_", " ") for name in lora.get("targets", {}))
        parts.append(f"LoRA of rank {lora.get('rank')} on {targets}")
    return ", ".join(parts) or UNKNOWN


def _results(results: Mapping[str, Any] | None) -> str:
    if not results:
        return "The model's folder has no measured results."
    extra = [key for key in ("majority", "shuffled") if all(key in r for r in results.values())]
    rows = [
        (task, *(f"{row[key]:.3f}" for key in ("accuracy", *extra)), str(row["n"]))
        for task, row in sorted(results.items())
    ]
    titles = {"majority": "the most frequent answer", "shuffled": "with other questions' media"}
    columns = ("task", "accuracy", *(titles[key] for key in extra), "questions")
    return (
        _table(columns, rows) + "\n\nRead from `results.json`, in the form of `mmmodal quickstart`."
    )


def _usage(facts: Facts, repo: str) -> list[str]:
    media = "".join(f'{{"type": "{name}", "path": "FILE"}}, ' for name in facts.modalities)
    return [
        _code("bash", f"pip install {' '.join(facts.packages)}"),
        _code(
            "python",
            "import mmmodal",
            "",
            f'chat = mmmodal.Chat(mmmodal.load("{repo}"))',
            f'print(chat.say([{media}"What is this?"]))',
        ),
        "With transformers only:",
        _code(
            "python",
            "import mmmodal.auto  # registers the model",
            "from transformers import AutoModelForMultimodalLM, AutoProcessor",
            "",
            f'model = AutoModelForMultimodalLM.from_pretrained("{repo}")',
            f'processor = AutoProcessor.from_pretrained("{repo}")',
        ),
    ]


def _adapter_usage(facts: Facts, repo: str, base: str | None) -> list[str]:
    return [
        _code("bash", f"pip install {' '.join(facts.packages)}"),
        _code(
            "python", "import mmmodal", "", f'model = mmmodal.load("{repo}")  # and its base model'
        ),
        f"`mmmodal merge {repo} OUT` merges both into one model. With PEFT:",
        _code(
            "python",
            "import mmmodal.auto  # registers the model",
            "from peft import PeftModel",
            "from transformers import AutoModelForMultimodalLM",
            "",
            f'base = AutoModelForMultimodalLM.from_pretrained("{base}")',
            f'model = PeftModel.from_pretrained(base, "{repo}")',
        ),
    ]


def _versions(facts: Facts) -> str:
    lines = [f"* published with mmmodal-core {version('mmmodal-core')}"]
    if facts.transformers_version:
        lines.append(f"* saved by transformers {facts.transformers_version}")
    for number, stage in enumerate(facts.stages, 1):
        noted = stage.recipe.get("versions") or {}
        versions = ", ".join(f"{name} {number_}" for name, number_ in noted.items()) or UNKNOWN
        lines.append(f"* stage {number} trained with {versions}")
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Any) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _code(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```"])
