"""The keys of a recipe that may differ when a run is resumed, or that older runs do not note."""

from __future__ import annotations

__all__ = ["MAY_CHANGE", "NEW", "OF_EVALUATIONS"]

MAY_CHANGE = {
    "workers",
    "prefetch",
    "save_every",
    "keep_checkpoints",
    "eval_every",
    "keep_best",
    "log_every",
    "report_to",
    "made_for",
    "nan_limit",
    "note_rows",
    "out",
    "feature_cache_limit",
    "feature_cache_dtype",
}
"""Keys that do not affect the result of a resumed run."""

OF_EVALUATIONS = ("eval", "eval_rows", "eval_max_new_tokens", "evaluators")
"""Keys of evaluations, whose figures are compared with each other."""

NEW = ("thoughts", "answers", "shuffle_window", *OF_EVALUATIONS)
"""Keys that runs of earlier versions do not note."""
