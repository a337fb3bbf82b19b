"""What a stage starts from: a model, or an adapter on its base, which then trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.adapters.folder import Adapter
    from mmmodal.adapters.lora import Lora
    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.train.recipe import Recipe

__all__ = ["Start", "find_start"]


@dataclass(frozen=True)
class Start:
    """Where a stage starts."""

    base: str
    """The model folder whose weights are loaded."""

    adapter: Adapter | None = None
    """What is put on it and trains on."""

    def fill(self, model: MMModalForConditionalGeneration, recipe: Recipe) -> None:
        """Give a model whose parts were chosen what the adapter learned, if there is one.

        Raises:
            CheckpointError: the recipe's adapters are not those of the folder, or ZeRO-3 has
                spread what they would be copied to.
        """
        if self.adapter is None:
            return
        if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
            raise CheckpointError(
                f"{recipe.model} is an adapter, which does not train on under ZeRO-3; use "
                "deepspeed=zero2-offload, or merge it first"
            )
        from mmmodal.adapters.attaching import fill
        from mmmodal.adapters.targets import adapted_layers

        assert recipe.train.lora is not None
        had, lora = self.adapter.settings, recipe.train.lora
        compared = {
            "rank": (had.r, lora.rank),
            "alpha": (had.lora_alpha, lora.alpha),
            "targets": (sorted(had.target_modules), adapted_layers(model)),
        }
        other = [f"train.lora.{key}" for key, (one, now) in compared.items() if one != now]
        if other:
            raise CheckpointError(
                f"{recipe.model} was trained with another {' and '.join(other)} (its rank is "
                f"{had.r}, its alpha {had.lora_alpha:g}); give the same to train it on, or merge "
                "it with `mmmodal merge` and begin a new one"
            )
        fill(model, self.adapter)

    def write_adapter(
        self,
        folder: Path,
        model: MMModalForConditionalGeneration,
        lora: Lora,
        trained: Mapping[str, Tensor],
    ) -> None:
        """Write what was trained, with what the adapter held before and did not train."""
        from mmmodal.adapters.attaching import settings_of, stored_tensors
        from mmmodal.adapters.folder import write_adapter
        from mmmodal.digests import weights_digest
        from mmmodal.train.loop.trainable import marker_row_ids

        before = self.adapter.tensors() if self.adapter is not None else {}
        tensors = {**before, **stored_tensors(model, trained)}
        base = str(Path(self.base).resolve()) if Path(self.base).is_dir() else self.base
        settings = settings_of(model, base, lora, tensors, marker_row_ids(model))
        digest = self.adapter.digest if self.adapter is not None else weights_digest(self.base)
        write_adapter(folder, settings, tensors, digest)


def find_start(recipe: Recipe) -> Start:
    """Look at what a recipe's `model` is.

    Raises:
        CheckpointError: it is an adapter, and the recipe does not train adapters, or its base is
            not there.
    """
    from mmmodal.adapters.folder import find_adapter

    if recipe.made_for is not None and not recipe.model.exists():
        made = recipe.made_for.command(recipe.model)
        raise CheckpointError(
            f"{recipe.model}: no such folder; the recipe is for a model that this makes: {made}"
        )
    adapter = find_adapter(recipe.model)
    if adapter is None:
        return Start(str(recipe.model))
    if recipe.train.lora is None:
        raise CheckpointError(
            f"{recipe.model} is an adapter, which trains on with train.lora alone; to train its "
            "model's own weights, merge it first: `mmmodal merge`"
        )
    return Start(adapter.base(), adapter)
