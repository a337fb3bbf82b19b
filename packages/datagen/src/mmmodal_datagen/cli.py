"""`mmmodal datagen`: run the data pipeline, or one step of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mmmodal.authoring.commands import example

__all__ = ["datagen"]


class StepGroup(click.Group):
    """The commands of this module, and one for each step of a plugin."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        from mmmodal_datagen.parts import registry

        return [*super().list_commands(ctx), *registry().names("generators")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of this module, or that of a step."""
        from mmmodal_datagen.parts import registry

        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        if cmd_name not in registry().names("generators"):
            return None
        return _step_command(cmd_name)


@click.group(
    cls=StepGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("mmmodal datagen run paper out=out"),
)
def datagen() -> None:
    """Make bilingual training data from recordings, images and their descriptions."""


@datagen.command(epilog=example("mmmodal datagen run pipeline.yaml out=out"))
@click.argument("pipeline")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome of each step as JSON.")
def run(pipeline: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run PIPELINE, a YAML file or the name of one that ships with this package.

    After an interruption, run the same command again: finished work is kept.
    """
    from mmmodal.authoring.commands import talking
    from mmmodal_datagen.pipeline import load_pipeline
    from mmmodal_datagen.reports.report import write_report
    from mmmodal_datagen.run.executors.executor import leads
    from mmmodal_datagen.run.runner import run_pipeline

    with talking():
        loaded = load_pipeline(pipeline, overrides)
        outcomes = run_pipeline(loaded)
        report = write_report(loaded, outcomes) if leads(loaded) else None
    _print_outcomes(outcomes, as_json)
    if report:
        click.echo(f"Report: {report}", err=True)


@datagen.group(invoke_without_command=True, epilog=example("mmmodal datagen pipelines --json"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the file of each.")
@click.pass_context
def pipelines(context: click.Context, as_json: bool) -> None:
    """List the pipelines that ship with this package; `mmmodal datagen run` takes them by name."""
    if context.invoked_subcommand is not None:
        return
    from mmmodal.authoring.commands import print_json, print_table
    from mmmodal.authoring.files import about
    from mmmodal_datagen.pipeline_files import shipped_pipelines

    found = [(name, path, about(path)) for name, path in shipped_pipelines().items()]
    if as_json:
        print_json([{"name": name, "path": str(path), "about": said} for name, path, said in found])
        return
    rows = [{"name": name, "about": said.partition(". ")[0]} for name, _, said in found]
    print_table(rows, {"name": "PIPELINE", "about": "WHAT IT IS"})


@pipelines.command(epilog=example("mmmodal datagen pipelines copy paper my.yaml"))
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
def copy(name: str, path: Path) -> None:
    """Copy the pipeline NAME to the new file PATH, to change it there."""
    from mmmodal_datagen.pipeline_files import copy_pipeline

    copy_pipeline(name, path)
    click.echo(str(path))
    click.echo(f"Next: mmmodal datagen run {path}", err=True)


@pipelines.command(epilog=example("mmmodal datagen pipelines show paper"))
@click.argument("name")
def show(name: str) -> None:
    """Print the pipeline NAME."""
    from mmmodal_datagen.pipeline_files import find_pipeline

    click.echo(find_pipeline(name).read_text(encoding="utf-8"), nl=False)


@datagen.command(epilog=example("mmmodal datagen parts --json"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def parts(as_json: bool) -> None:
    """List steps and backends, and the packages that provide them."""
    from mmmodal.authoring.commands import print_json, print_table
    from mmmodal_datagen.parts import KINDS, registry

    rows = [
        {"kind": word, "name": name, "package": item.package, "version": item.version}
        for kind, word in KINDS.items()
        for name, item in registry().provided(kind)
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            rows, {"kind": "KIND", "name": "NAME", "package": "PACKAGE", "version": "VERSION"}
        )


def _step_command(name: str) -> click.Command:
    from mmmodal_datagen.parts import find

    part = find("generators", name)
    inputs = click.Argument(["inputs"], nargs=-1, metavar="[INPUT]...")
    options = [
        click.Option(
            ["-o", "--out"],
            required=True,
            type=click.Path(path_type=Path),
            help="The folder of the results.",
        ),
        click.Option(
            ["--root"],
            type=click.Path(path_type=Path),
            help="The folder that media paths are relative to.",
        ),
        click.Option(
            ["--preset"],
            type=click.Choice(sorted(part.presets)),
            hidden=not part.presets,
            help="A named set of options.",
        ),
        click.Option(
            ["--set", "settings"],
            multiple=True,
            metavar="KEY=VALUE",
            help="An option of the step (turns=3) or of the run (run.seed=1).",
        ),
        click.Option(
            ["--backend", "backends"],
            multiple=True,
            metavar="KIND:NAME[,KEY=VALUE]...",
            help="A model to call: language_model:openai,model=mixtral.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print counts as JSON."),
    ]
    summary = (part.__doc__ or "").strip()
    return _StepCommand(
        name,
        callback=_run_step(name),
        params=[inputs, *options],
        help=summary,
        epilog=example(f"mmmodal datagen {name} rows.jsonl -o out"),
    )


class _StepCommand(click.Command):
    """The command of a step; its help lists the step's options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every option with its meaning and default."""
        from mmmodal_datagen.parts import find

        fields = find("generators", str(self.name)).Options.model_fields
        rows = [(key, _about(field)) for key, field in fields.items()]
        if rows:
            with formatter.section("Options of the step, for --set"):
                formatter.write_dl(rows)
        super().format_epilog(ctx, formatter)


def _about(field: Any) -> str:
    """Return the meaning of an option, and its default."""
    about = field.description or ""
    if field.is_required():
        return f"{about}  [required]".lstrip()
    return about if field.default is None else f"{about}  [default: {field.default}]".lstrip()


def _run_step(name: str) -> Any:
    def callback(
        inputs: tuple[str, ...],
        out: Path,
        root: Path | None,
        preset: str | None,
        settings: tuple[str, ...],
        backends: tuple[str, ...],
        as_json: bool,
    ) -> None:
        from mmmodal.authoring.commands import talking
        from mmmodal_datagen.run.runner import run_pipeline
        from mmmodal_datagen.single_step import step_alone

        pipeline = step_alone(
            name, inputs, out, root=root, preset=preset, settings=settings, backends=backends
        )
        with talking():
            outcomes = run_pipeline(pipeline)
        _print_outcomes(outcomes[-1:], as_json)
        made = outcomes[-1]
        rows = f"Rows: {made.folder}. Input for other steps" if made.rows else "Results"
        click.echo(f"{rows}: {out}", err=True)

    return callback


def _print_outcomes(outcomes: Sequence[Any], as_json: bool) -> None:
    from mmmodal.authoring.commands import print_json, print_table

    columns = ("step", "rows", "rejected", "failed", "done")
    rows = [{name: getattr(outcome, name) for name in columns} for outcome in outcomes]
    if as_json:
        for row, outcome in zip(rows, outcomes, strict=True):
            row |= {"reasons": outcome.reasons, "notes": outcome.notes}
            row["files"] = [str(file.path) for file in outcome.files]
        print_json(rows)
    else:
        print_table(rows, {name: name.upper() for name in columns})
        for outcome in outcomes:
            for reason, count in outcome.reasons.items():
                click.echo(f"{outcome.step}: {count:,} × {reason}", err=True)
            _print_unused(outcome)
    if failed := sum(outcome.failed for outcome in outcomes):
        click.echo(f"{failed:,} rows failed; run again to retry them", err=True)


def _print_unused(outcome: Any) -> None:
    """Print the keys that an import did not use."""
    from mmmodal_datagen.steps.import_.step import UNUSED

    found = {note: count for note, count in outcome.notes.items() if note.startswith(UNUSED)}
    if found:
        keys = ", ".join(f"{note.removeprefix(UNUSED)!r} ({n:,})" for note, n in found.items())
        click.echo(f"{outcome.step}: not used, kept in meta: {keys}", err=True)
