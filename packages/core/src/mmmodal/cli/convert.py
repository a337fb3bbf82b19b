"""`mmmodal convert`: convert another project's checkpoint to a model folder."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mmmodal.cli.options import chat_template_option, dtype_option, read_template
from mmmodal.cli.output import example, talking


@click.command(epilog=example("mmmodal convert llava-hf/llava-1.5-7b-hf my-llava"))
@click.argument("source", metavar="SRC")
@click.argument("out", type=click.Path(path_type=Path))
@chat_template_option("to replace the checkpoint's chat template")
@dtype_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def convert(source: str, out: Path, chat_template: Path | None, dtype: str, as_json: bool) -> None:
    """Convert SRC, a folder or Hub id of another project, to the model folder OUT."""
    template = read_template(chat_template)
    with talking():
        from mmmodal.converting import convert as run

        result = run(source, out, chat_template=template, dtype=dtype)
    if as_json:
        click.echo(json.dumps({"out": str(out), **result}, indent=2))
        return
    media = ", ".join(result["modalities"])
    click.echo(f"{out}: from {result['format']}, {result['bytes'] / 1e6:.1f} MB, accepts {media}")
    click.echo(f"Next: mmmodal chat {out}", err=True)
