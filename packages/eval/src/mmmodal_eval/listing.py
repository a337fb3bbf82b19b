"""`mmmodal evaluate scorers`: the installed scorers."""

from __future__ import annotations

from typing import Any

import click

from mmmodal.authoring.commands import example, print_json, print_table

__all__ = ["scorers"]


@click.command(epilog=example("mmmodal evaluate scorers --json"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the options of each.")
def scorers(as_json: bool) -> None:
    """List the scorers of all installed packages: what `--scorer` and `expect` may name."""
    from mmmodal_eval.parts import registry

    found = [_about(name, each) for name, each in registry().provided("scorers")]
    if as_json:
        print_json(found)
        return
    headings = ("SCORER", "UNIT", "BETTER", "PACKAGE", "WHAT IT IS")
    keys = ("name", "unit", "better", "package", "about")
    print_table(found, dict(zip(keys, headings, strict=True)))


def _about(name: str, provided: Any) -> dict[str, Any]:
    """Return what a user should know of a scorer."""
    part = provided.part
    return {
        "name": name,
        "unit": part.unit,
        "better": part.better,
        "is_mean": part.is_mean,
        "ranks_choices": part.ranks_choices,
        "package": provided.package,
        "version": provided.version,
        "options": _options(part.Options),
        "about": " ".join((part.__doc__ or "").partition("\n\n")[0].split()),
    }


def _options(schema: Any) -> dict[str, Any]:
    """Return the options of a scorer with their defaults; None for those that must be given."""
    return {
        name: None if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in schema.model_fields.items()
    }
