"""The generation settings of a task, as those of answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mmmodal.authoring.parts import ConfigError

__all__ = ["generation_settings"]

NEUTRAL = {"num_beams": 1, "top_p": 1}
"""Values that change nothing, which most tasks give."""


def generation_settings(
    given: Mapping[str, Any], where: str, left_out: Collection[str] = ()
) -> dict[str, Any]:
    """Return transformers' generation settings of a task's `generation_kwargs`.

    As for lmms-eval, tokens are drawn if `do_sample` is true or the temperature is above 0, and the
    most probable ones are selected otherwise. What else is given is passed on, so that core refuses
    by name what cannot act.

    Args:
        given: the task's settings; None stands for one that is not given.
        where: the task, for errors.
        left_out: the names of settings to ignore.

    Raises:
        ConfigError: `do_sample` and the temperature contradict each other.
    """
    settings = {k: v for k, v in given.items() if v is not None and k not in left_out}
    settings = {k: v for k, v in settings.items() if v != NEUTRAL.get(k, ())}
    if "max_gen_toks" in settings:
        settings.setdefault("max_new_tokens", settings.pop("max_gen_toks"))
    until = settings.pop("until", ())
    stops = [text for text in ([until] if isinstance(until, str) else until) if text]
    _decide(settings, where)
    return settings | ({"stop_strings": tuple(stops)} if stops else {})


def _decide(settings: dict[str, Any], where: str) -> None:
    """Say of settings whether tokens are drawn."""
    is_warm = settings.get("temperature", 0) > 0
    if is_warm and settings.get("do_sample") is False:
        raise ConfigError(
            where,
            [
                f"temperature={settings['temperature']} acts on sampling, but do_sample is false; "
                "give --gen_kwargs temperature=0 or --gen_kwargs do_sample=true"
            ],
        )
    if not is_warm and not settings.get("do_sample"):
        settings.pop("do_sample", None)
        settings["temperature"] = 0
