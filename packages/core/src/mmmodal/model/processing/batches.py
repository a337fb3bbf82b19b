"""Batches in the form that was asked for: cut, padded, as tensors, arrays or lists.

B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transformers.utils import logging

from mmmodal.conversation.rendering import IGNORE
from mmmodal.errors import RenderError, SpliceError
from mmmodal.model.processing.arguments import TextSettings
from mmmodal.samples.collation import Sample
from mmmodal.samples.preparer import Preparer

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["batch_of", "media_of"]

UNLIMITED = 1_000_000_000  # tokens; the length of a tokenizer without a limit is 10^30

logger = logging.get_logger(__name__)


def batch_of(
    preparer: Preparer,
    samples: Sequence[Sample],
    settings: TextSettings,
    *,
    assistant_masks: bool = False,
) -> dict[str, Any]:
    """Return samples as one batch, in the form that the settings ask for.

    `input_ids`, `attention_mask` and `assistant_masks` are [B, T], or lists of rows; rows that are
    not padded have their own lengths. Media are tensors, also beside lists, or numpy arrays.

    Args:
        preparer: the preparer of the samples.
        samples: the samples, at least one.
        settings: what was asked for.
        assistant_masks: return which tokens have a label, too.

    Raises:
        RenderError: the rows cannot have the form that was asked for.
        SpliceError: truncation would cut a medium.
    """
    samples = [_truncated(preparer, each, i, settings) for i, each in enumerate(samples)]
    padded = _is_padded(settings, samples)
    side: Any = settings.padding_side or preparer.tokenizer.padding_side
    length = _target(preparer, samples, settings) if padded else 0
    batch = preparer.collate(samples, side, length)
    spoken, mask = (batch.pop("labels") != IGNORE).long(), batch.pop("attention_mask")
    rows = {"input_ids": batch.pop("input_ids"), "attention_mask": mask}
    if assistant_masks:
        rows["assistant_masks"] = spoken
    if settings.return_attention_mask is False:
        del rows["attention_mask"]
    return _converted(rows, mask, padded, settings) | media_of(batch, settings)


def _converted(
    rows: dict[str, Tensor], mask: Tensor, padded: bool, settings: TextSettings
) -> dict[str, Any]:
    if settings.return_tensors == "np":
        return {key: value.numpy() for key, value in rows.items()}
    if settings.return_tensors == "pt" or (settings.return_tensors and padded):
        return dict(rows)
    if padded:
        return {key: value.tolist() for key, value in rows.items()}
    return {
        key: [row[kept].tolist() for row, kept in zip(value, mask.bool(), strict=True)]
        for key, value in rows.items()
    }


def media_of(tensors: dict[str, Tensor], settings: TextSettings) -> dict[str, Any]:
    """Return the tensors of media in the form that the settings ask for."""
    if settings.return_tensors == "np":
        return {key: value.numpy() for key, value in tensors.items()}
    return dict(tensors)


def _is_padded(settings: TextSettings, samples: Sequence[Sample]) -> bool:
    """Return whether rows are padded; unlike transformers, tensors are padded unless told not to.

    Raises:
        RenderError: rows of different lengths are to be one tensor.
    """
    differ = len({len(sample.input_ids) for sample in samples}) > 1
    if settings.padding is None:
        if differ and settings.return_tensors == "auto":
            logger.warning_once(
                "The rows of a batch were padded, as `padding` was not given. Pass padding=True, "
                "or return_tensors=None for lists; what pads by itself, such as TRL's GRPOTrainer, "
                "needs lists: processor.text_kwargs = {'return_tensors': None}."
            )
        return settings.return_tensors is not None
    if settings.padding not in (False, "do_not_pad"):
        return True
    if differ and settings.return_tensors in ("pt", "np"):
        raise RenderError(
            "rows of different lengths cannot be one tensor; pass padding=True, or "
            "return_tensors=None for lists"
        )
    return False


def _target(preparer: Preparer, samples: Sequence[Sample], settings: TextSettings) -> int:
    """Return the length to pad to."""
    length = max(len(sample.input_ids) for sample in samples)
    if settings.padding == "max_length":
        length = max(length, _limit(preparer, settings, "padding='max_length'"))
    step = settings.pad_to_multiple_of or 1
    return -(-length // step) * step


def _limit(preparer: Preparer, settings: TextSettings, argument: str) -> int:
    known: int = settings.max_length or preparer.tokenizer.model_max_length
    if known > UNLIMITED:
        raise RenderError(f"{argument} needs max_length, as the tokenizer has no limit")
    return known


def _truncated(preparer: Preparer, sample: Sample, number: int, settings: TextSettings) -> Sample:
    """Return a sample of the first tokens, or the last ones if the tokenizer truncates on the left.

    Raises:
        SpliceError: a medium is among the others.
    """
    if not _is_truncated(settings):
        return sample
    limit = _limit(preparer, settings, "truncation")
    excess = len(sample.input_ids) - limit
    if excess <= 0:
        return sample
    is_left = preparer.tokenizer.truncation_side == "left"
    lost, kept = (
        (slice(0, excess), slice(excess, None))
        if is_left
        else (slice(limit, None), slice(0, limit))
    )
    marks = {id_ for markers in preparer.markers.values() for id_ in markers.all}
    if not marks.isdisjoint(sample.input_ids[lost]):
        raise SpliceError(
            f"prompt {number} has {len(sample.input_ids)} tokens, and truncation to {limit} would "
            "cut its media; raise max_length, or shorten the text"
        )
    return replace(sample, input_ids=sample.input_ids[kept], labels=sample.labels[kept])


def _is_truncated(settings: TextSettings) -> bool:
    """Return whether rows are truncated: if asked for, or by a `max_length` that nothing explains.

    Raises:
        RenderError: `max_length` is neither for truncation nor for padding.
    """
    pads = settings.padding not in (None, False, "do_not_pad")
    if settings.truncation is not None:
        return settings.truncation not in (False, "do_not_truncate")
    if settings.max_length is not None and pads and settings.padding != "max_length":
        raise RenderError(
            f"max_length={settings.max_length} has no effect on padding={settings.padding!r}; pass "
            "truncation=True, or padding='max_length'"
        )
    return settings.max_length is not None and not pads
