"""The end of a stage: what was left out is named, and the result is written beside the run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.adapters.folder import ADAPTER_CONFIG
from mmmodal.ranks import rank
from mmmodal.train.run.disk import naming_full_disk
from mmmodal.train.run.folder import METRICS, moving_in
from mmmodal.train.run.journal import Journal

if TYPE_CHECKING:
    from mmmodal.train.loop.bad_samples import Skipped
    from mmmodal.train.recipe import Recipe
    from mmmodal.train.stage.start import Start

__all__ = ["name_skipped", "write_result"]


def name_skipped(skipped: Skipped, run: Path, step: int) -> None:
    """Name the rows that were left out, on stderr and in the metrics."""
    rows = skipped.all()
    if rank() == 0 and rows:
        skipped.tell()
        Journal(run / METRICS).note(step, {"skipped_rows": len(rows), "skipped": rows})


def write_result(trainer: Any, recipe: Recipe, run: Path, start: Start) -> None:
    """Write the result beside `run`, a whole model or the adapter alone; remove the checkpoints.

    Raises:
        CheckpointError: the disk is full.
    """
    from mmmodal.train.loop.trainable import read_trained

    last = run / "trained"
    with naming_full_disk("the trained model", recipe.out):
        trainer.save_model(str(last))
        if rank() == 0:
            trained = read_trained(last)
            if recipe.train.lora is not None:
                model = trainer.accelerator.unwrap_model(trainer.model)
                with moving_in(recipe.out, ADAPTER_CONFIG) as folder:
                    start.write_adapter(folder, model, recipe.train.lora, trained)
            else:
                with moving_in(recipe.out, "config.json") as folder:
                    _write_whole(folder, recipe, trained)
            shutil.rmtree(last)
            shutil.rmtree(run / "checkpoints", ignore_errors=True)
        trainer.accelerator.wait_for_everyone()


def _write_whole(folder: Path, recipe: Recipe, trained: Mapping[str, Any]) -> None:
    """Write the input's weights, bitwise, with what was trained put in."""
    from mmmodal.making.loading import load
    from mmmodal.model.zero3 import whole_weights
    from mmmodal.train.loop.trainable import add_trained

    with whole_weights():
        whole = load(recipe.model, device="cpu")
    add_trained(whole, trained)
    whole.save_pretrained(folder)
    whole.processor.save_pretrained(folder)
