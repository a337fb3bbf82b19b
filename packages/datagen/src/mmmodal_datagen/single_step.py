"""A pipeline for one step on files: an import, and the step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmmodal.authoring.parts import ConfigError, apply_overrides, parse_value, validate
from mmmodal_datagen.outputs import find_made
from mmmodal_datagen.parts import BACKENDS, find
from mmmodal_datagen.pipeline import Pipeline

__all__ = ["step_alone"]

RUN = "run."
"""The prefix of settings of the run; all others are options of the step."""


def step_alone(
    name: str,
    inputs: Sequence[str | Path],
    out: Path,
    *,
    root: Path | None = None,
    preset: str | None = None,
    settings: Sequence[str] = (),
    backends: Sequence[str] = (),
) -> Pipeline:
    """Return the pipeline that imports files and runs one step on them.

    Args:
        name: of the step.
        inputs: files that `import` reads.
        out: the folder of the results.
        root: the folder that paths of media are relative to; by default the common parent of all
            inputs and `out`, where an input of a run counts as the `root` of that run.
        preset: a named set of options.
        settings: `KEY=VALUE` options of the step, `run.KEY=VALUE` of the pipeline.
        backends: models, as `KIND:NAME,KEY=VALUE,…`.

    Raises:
        ConfigError: an input, setting or backend is not valid.
    """
    paths = [Path(path).resolve() for path in inputs]
    top = (
        root.resolve() if root else Path(os.path.commonpath([*map(_folder, paths), out.resolve()]))
    )
    given = apply_overrides({}, [text for text in settings if not text.startswith(RUN)])
    files = [os.path.relpath(path, top) for path in paths]
    values = {
        "out": out.resolve(),
        "root": top,
        "backends": dict(_backend(text) for text in backends),
        "steps": _steps({"step": name, "options": given, "preset": preset}, files),
    }
    run = [text.removeprefix(RUN) for text in settings if text.startswith(RUN)]
    find("generators", name)
    return validate(Pipeline, apply_overrides(values, run, Pipeline), f"datagen {name}")


def _steps(step: dict[str, Any], files: list[str]) -> dict[str, Any]:
    """Return a step after an import of files; an import itself gets the files."""
    if step["step"] == "import":
        step["options"]["files"] = [*step["options"].get("files", []), *files]
    elif files:
        imported = {"step": "import", "options": {"files": files}}
        return {"files": imported, "step": {**step, "inputs": ["files"]}}
    return {"step": step}


def _folder(path: Path) -> Path:
    """Return the folder that media paths of a file or a run are relative to."""
    if (made := find_made(path)) is not None:
        return made.root
    return path if path.is_dir() else path.parent


def _backend(text: str) -> tuple[str, dict[str, Any]]:
    """Return kind and values of a backend given as `language_model:openai,model=mixtral`."""
    head, *settings = text.split(",")
    kind, colon, name = head.partition(":")
    if not colon or kind not in BACKENDS:
        known = ", ".join(f"{kind}:NAME" for kind in BACKENDS)
        raise ConfigError("command line", [f"{head!r} is no backend; write one of {known}"])
    options = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError("command line", [f"{setting!r} in {text!r} is not KEY=VALUE"])
        options[key] = parse_value(value)
    return kind, {kind: name, "options": options}
