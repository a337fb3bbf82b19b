"""How far a run is in its data: how full its packs are, and the epochs it has done."""

from __future__ import annotations

import sys
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mmmodal.samples.batches import BatchPlan

__all__ = ["EpochCount"]


class EpochCount(TrainerCallback):
    """Tell the Trainer, for which a run is one long epoch, the true number."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan = plan

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say on stderr how full the packs are."""
        if state.is_world_process_zero and self._plan.capacity is not None:
            print(
                f"Packed {self._plan.total_samples:,} conversations into "
                f"{self._plan.total_packs:,} packs of up to {self._plan.capacity:,} tokens, which "
                f"are {self._plan.utilisation:.1%} full",
                file=sys.stderr,
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the epochs."""
        batches = state.global_step * args.gradient_accumulation_steps * args.world_size
        state.epoch = self._plan.epoch_after(batches)
