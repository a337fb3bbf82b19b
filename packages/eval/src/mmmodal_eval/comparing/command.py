"""`mmmodal evaluate compare` and `gate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmmodal.authoring.commands import example, print_json, print_table

if TYPE_CHECKING:
    from mmmodal_eval.comparing.comparison import Comparison, Shared
    from mmmodal_eval.comparing.gate import Gate

__all__ = ["compare", "gate"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
folder = click.Path(path_type=Path)
NO_DIFFERENCE = "no difference shown"


@click.command(epilog=example("mmmodal evaluate compare results/old results/new"))
@click.argument("a", type=folder)
@click.argument("b", type=folder)
@json_option
def compare(a: Path, b: Path, as_json: bool) -> None:
    """Compare the results B with the results A, on the questions that they share.

    A and B are folders that `mmmodal evaluate` wrote. Differences are B minus A, paired, with 95 %
    intervals by clusters.
    """
    from mmmodal_eval.comparing.comparison import compare as compare_results

    found = compare_results(a, b)
    _tell(found.shared)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_comparison(found)


@click.command(epilog=example("mmmodal evaluate gate results/old results/new --allow 0.01"))
@click.argument("a", type=folder)
@click.argument("b", type=folder)
@click.option(
    "--allow",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="The loss that is allowed, of figures from 0 to 1: 0.01 is one point.",
)
@click.option("--scorer", metavar="NAME", help="The scorer to look at; by default, each one.")
@click.option("--slices", is_flag=True, help="Look at each slice too, with wider intervals.")
@json_option
@click.pass_context
def gate(
    context: click.Context,
    a: Path,
    b: Path,
    allow: float,
    scorer: str | None,
    slices: bool,
    as_json: bool,
) -> None:
    """Exit with 1 if B is worse than A by more than is allowed, for sure.

    That is so if the whole paired interval of B minus A lies beyond the allowed loss. Else exit
    with 0; with 2 if the results cannot be compared.
    """
    from mmmodal.authoring.parts import MMModalError
    from mmmodal_eval.comparing.gate import gate as gate_results

    try:
        found = gate_results(a, b, allow, scorer=scorer, slices=slices)
    except MMModalError as error:
        click.echo(f"Error: {error}", err=True)
        context.exit(2)
    _tell(found.shared)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_gate(found)
    context.exit(0 if found.passes else 1)


def _tell(shared: Shared) -> None:
    click.echo(f"A is {shared.a}, B is {shared.b}: {shared.cases} questions of both", err=True)
    for note in shared.notes:
        click.echo(f"Note: {note}", err=True)


def _print_comparison(found: Comparison) -> None:
    rows = [
        {
            "scorer": one.scorer,
            "slice": _slice(one.slice),
            "cases": one.cases,
            "clusters": one.clusters,
            "a": f"{one.a:.4g}",
            "b": f"{one.b:.4g}",
            "value": f"{one.value:+.4f}",
            "interval": _interval(one.low, one.high),
            "p": _probability(one.p if one.p_holm is None else one.p_holm),
            "smallest": None if one.smallest is None else f"{one.smallest:.4f}",
            "verdict": f"B is {one.verdict}" if one.verdict != NO_DIFFERENCE else one.verdict,
        }
        for one in found.differences
    ]
    headings = {
        "scorer": "SCORER",
        "slice": "SLICE",
        "cases": "CASES",
        "clusters": "CLUSTERS",
        "a": "A",
        "b": "B",
        "value": "B-A",
        "interval": "95 % INTERVAL",
        "p": "P (HOLM)",
        "smallest": "COULD SHOW",
        "verdict": "VERDICT",
    }
    print_table(rows, headings)


def _print_gate(found: Gate) -> None:
    rows = [
        {
            "scorer": one.scorer,
            "slice": _slice(one.slice),
            "cases": one.cases,
            "value": f"{one.value:+.4f}",
            "interval": _interval(one.low, one.high),
            "allowed": f"{one.allowed:g}",
            "verdict": one.verdict,
        }
        for one in found.checks
    ]
    headings = {
        "scorer": "SCORER",
        "slice": "SLICE",
        "cases": "CASES",
        "value": "B-A",
        "interval": f"{100 * found.level:.4g} % INTERVAL",
        "allowed": "ALLOWED LOSS",
        "verdict": "VERDICT",
    }
    print_table(rows, headings)


def _slice(common: dict[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in common.items()) or "all"


def _interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:+.4f} to {high:+.4f}"


def _probability(value: float) -> Any:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
