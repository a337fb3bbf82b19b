"""The start of a stage: a model, or an adapter on its base model to train further."""

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
    """The model, and perhaps the adapter, from which a stage starts."""

    base: str
    """The model folder of the weights."""

    adapter: Adapter | None = None
    """The adapter to attach and train further."""

    def fill(self, model: MMModalForConditionalGeneration, recipe: Recipe) -> None:
        """Copy the adapter's weights, if there is one, into a model with its parts selected.

        Raises:
            CheckpointError: the recipe's adapters differ from those of the folder, or ZeRO-3 has
                partitioned the weights.
        """
        if self.adapter is None:
            return
        if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
            raise CheckpointError(
                f"{recipe.model} is an adapter, which ZeRO-3 cannot train further; set "
                "deepspeed=zero2-offload, or merge it first with `mmmodal merge`"
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
                f"{had.r}, its alpha {had.lora_alpha:g}); set the same values to train it further, "
                "or merge it with `mmmodal merge` and start a new one"
            )
        fill(model, self.adapter)

    def write_adapter(
        self,
        folder: Path,
        model: MMModalForConditionalGeneration,
        lora: Lora,
        trained: Mapping[str, Tensor],
    ) -> None:
        """Write the trained weights, with those of the adapter that were not trained."""
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
    """Return the start of a recipe by its `model`.

    Raises:
        CheckpointError: `model` is an adapter, but the recipe does not train adapters, or its base
            model does not exist.
    """
    from mmmodal.adapters.folder import find_adapter

    if recipe.made_for is not None and not recipe.model.exists():
        made = recipe.made_for.command(recipe.model)
        raise CheckpointError(
            f"{recipe.model}: no such folder; to compose a model for this recipe, run: {made}"
        )
    adapter = find_adapter(recipe.model)
    if adapter is None:
        return Start(str(recipe.model))
    if recipe.train.lora is None:
        raise CheckpointError(
            f"{recipe.model} is an adapter, which can only be trained further with train.lora; "
            "to train the weights of its model, merge it first with `mmmodal merge`"
        )
    return Start(adapter.base(), adapter)
