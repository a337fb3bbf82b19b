"""Draw the records that a recipe evaluates, and find the evaluators of answers to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmmodal.config import validate
from mmmodal.contracts.evaluator import Better, Evaluator, HeldOut
from mmmodal.errors import ConfigError, RecordError
from mmmodal.parts import find, missing
from mmmodal.plugins import registry
from mmmodal.records.dataset import OnError, RecordDataset
from mmmodal.samples.dataset import PreparedDataset, open_files
from mmmodal.samples.order import epoch_order
from mmmodal.samples.preparer import Preparer
from mmmodal.train.loop.evaluation import Evaluation, metrics_of
from mmmodal.train.loop.held_out_loss import HeldOutLoss, together
from mmmodal.train.recipe import Recipe
from mmmodal.train.stage.plan import Plan

if TYPE_CHECKING:
    from transformers import TrainingArguments

__all__ = ["Drawn", "draw", "evaluation_of"]


@dataclass(frozen=True)
class Drawn:
    """The records that are evaluated, and what is found out of each."""

    files: Sequence[RecordDataset]
    rows: dict[int, HeldOut]
    """The records drawn, by their numbers among those of all files."""

    evaluators: Sequence[Evaluator]
    notes: Sequence[str]
    """Why answers are not scored, if they are not."""

    @property
    def number(self) -> int:
        """The number of records of all files."""
        return sum(map(len, self.files))

    def dataset(self, preparer: Preparer, plan: Plan) -> PreparedDataset:
        """Return the samples of all records by number."""
        return PreparedDataset(self.files, preparer, max_tokens=plan.max_tokens)

    def lengths(self, dataset: PreparedDataset, on_error: OnError) -> dict[int, int]:
        """Return the number of tokens of each record drawn; the error of a bad one is passed on.

        Raises:
            RecordError: a record is bad, or all are.
        """
        found: dict[int, int] = {}
        for number in self.rows:
            try:
                found[number] = dataset.measure(number).tokens
            except RecordError as error:
                if on_error == "raise":
                    raise
                on_error(error)
        if not found:
            names = ", ".join(file.name for file in dataset.files)
            raise RecordError(names, "none of the records drawn for evaluations can be used")
        return found

    def metrics(self, recipe: Recipe, usable: Iterable[int]) -> dict[str, Better]:
        """Return the names of the figures of usable records, and which figure is the better one.

        Raises:
            ConfigError: an answer cannot be scored, or `keep_best` is none of the figures.
        """
        found = metrics_of(self.evaluators, [self.rows[number] for number in usable])
        if recipe.keep_best is not None and recipe.keep_best not in found:
            known = f"known are {', '.join(found)}" + "".join(f" ({note})" for note in self.notes)
            wrong = f"'keep_best': {recipe.keep_best!r} is not a figure of these evaluations"
            raise ConfigError("recipe", [f"{wrong}; {known}"])
        return found


def draw(recipe: Recipe, on_error: OnError = "raise") -> Drawn | None:
    """Return the records that a recipe evaluates; None if it evaluates none.

    Raises:
        RecordError: a file cannot be read, or has a bad row.
        PartError: an evaluator is not installed.
        ConfigError: an option of an evaluator is not valid.
    """
    if not recipe.eval:
        return None
    opened = open_files(
        recipe.eval, root=recipe.root, root_maps=recipe.root_maps, on_error=on_error
    )
    files = [file for file in opened if isinstance(file, RecordDataset)]
    places = [(file, row) for file in files for row in range(len(file))]
    numbers = sorted(epoch_order(len(places), recipe.seed, 0)[: recipe.eval_rows].tolist())
    rows = {number: _held_out(*places[number]) for number in numbers}
    chosen, notes = recipe.evaluators, []
    if chosen is None:
        chosen = {name: {} for name in registry().names("evaluators")}
        notes = [f"answers are not scored: {reason}" for reason in missing("evaluators")]
    evaluators = [_evaluator(name, options) for name, options in chosen.items()]
    return Drawn(files, rows, evaluators, notes)


def _held_out(file: RecordDataset, row: int) -> HeldOut:
    where, record = file[row]
    return HeldOut(record, file.root(row), where)


def _evaluator(name: str, options: Mapping[str, Any]) -> Evaluator:
    part: type[Evaluator] = find("evaluators", name).part
    return part(validate(part.Options, options, f"recipe, options of the evaluator {name!r}"))


def evaluation_of(
    drawn: Drawn,
    recipe: Recipe,
    preparer: Preparer,
    plan: Plan,
    arguments: TrainingArguments,
    on_error: OnError = "raise",
) -> Evaluation:
    """Return the evaluation of the records drawn that can be used.

    Raises:
        RecordError: a record is bad, or all are.
        ConfigError: an answer cannot be scored, or `keep_best` is none of the figures.
    """
    dataset = drawn.dataset(preparer, plan)
    lengths = drawn.lengths(dataset, on_error)
    return Evaluation(
        HeldOutLoss(dataset, together(lengths, plan.max_tokens), arguments),
        [drawn.rows[number] for number in lengths],
        drawn.evaluators,
        drawn.metrics(recipe, lengths),
        recipe.evaluates_every,
        recipe.eval_max_new_tokens,
        recipe.seed,
        plan.autocast,
    )
