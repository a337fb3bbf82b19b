"""`mmmodal merge`: merge an adapter and its base model into one model folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from mmmodal.cli.output import example, talking


@click.command(epilog=example("mmmodal merge my-adapter merged"))
@click.argument("adapter", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="The model it was trained on, if that is no longer at the path the adapter records.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def merge(adapter: Path, out: Path, base: Path | None, as_json: bool) -> None:
    """Merge the adapter in the folder ADAPTER into its base model; write the result to OUT.

    OUT needs neither of them, and generates faster than the base model with the adapter.
    """
    with talking():
        from mmmodal.adapters.attaching import merge as fold
        from mmmodal.adapters.folder import find_adapter
        from mmmodal.errors import CheckpointError
        from mmmodal.files import check_new
        from mmmodal.making.loading import load, save

        check_new(out)  # before work that takes minutes
        if find_adapter(adapter) is None:
            raise CheckpointError(f"{adapter} is not an adapter; `mmmodal train lora` makes one")
        model = load(adapter, base=base, device="cpu")
        fold(model)
        save(model, out)
        _carry_history(adapter, out)
    click.echo(json.dumps({"out": str(out)}) if as_json else str(out))


def _carry_history(adapter: Path, out: Path) -> None:
    """Copy the record of the training, which the model card uses."""
    from mmmodal.train.run.folder import METRICS, NOTED, RUN

    for name in (NOTED, METRICS):
        if (adapter / RUN / name).is_file():
            (out / RUN).mkdir(exist_ok=True)
            shutil.copyfile(adapter / RUN / name, out / RUN / name)
