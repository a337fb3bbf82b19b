"""`mmmodal compose`: make a chat model from parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mmmodal.cli.options import chat_template_option, dtype_option, read_template
from mmmodal.cli.output import example, talking


def _pairs(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not (equals and key and value):
            raise click.BadParameter(f"{text!r} is not of the form {option.metavar}")
        if key in pairs:
            raise click.BadParameter(f"{key!r} is given twice")
        pairs[key] = value
    return pairs


@click.command(
    epilog=example(
        "mmmodal compose my-model --backbone tinyllama-1.1b \\",
        "    --encoder image=siglip-base-384 --encoder audio=whisper-small",
    )
)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--backbone", metavar="NAME[:SOURCE]", help="The language model.")
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    callback=_pairs,
    metavar="MODALITY=NAME[:SOURCE]",
    help="The encoder of a modality; repeatable, once for each modality.",
)
@click.option(
    "--projector",
    "projectors",
    multiple=True,
    callback=_pairs,
    metavar="MODALITY=NAME",
    help="The projector of a modality; by default the encoder's.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_pairs,
    metavar="PART.OPTION=VALUE",
    help="Set an option of a part: image.encoder.select_layer=-1, audio.projector.kernel=20, "
    "backbone.template_variables='{enable_thinking: false}'.",
)
@click.option(
    "--from",
    "from_model",
    type=click.Path(path_type=Path),
    help="A composed model to add modalities to, instead of a backbone.",
)
@chat_template_option("for a tokenizer that has no chat template")
@dtype_option
@click.option("--dry-run", is_flag=True, help="List the downloads and their sizes only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def compose(
    out: Path,
    backbone: str | None,
    encoders: dict[str, str],
    projectors: dict[str, str],
    settings: dict[str, str],
    from_model: Path | None,
    chat_template: Path | None,
    dtype: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compose a model from parts and write it to the folder OUT."""
    if (backbone is None) == (from_model is None):
        raise click.UsageError("give either --backbone or --from")
    language = _backbone(backbone, settings)
    parts = _parts(encoders, projectors, settings)
    wanted: dict[str, Any] = {"backbone": language, "from_model": from_model, **parts}
    if dry_run:
        _print_plan(out, wanted, as_json)
        return
    template = read_template(chat_template)
    with talking():
        from mmmodal.making.composing import compose as run

        model = run(out, **wanted, chat_template=template, dtype=dtype)
    _print_result(out, model, as_json)


def _backbone(text: str | None, settings: dict[str, str]) -> Any:
    """Return the backbone with its options, which are removed from `settings`."""
    from mmmodal.config import parse_value
    from mmmodal.making.composing import Part

    keys = [key for key in settings if key.startswith("backbone.")]
    if text is None:
        if keys:
            raise click.UsageError(f"--set {keys[0]}=…: an option of the backbone needs --backbone")
        return None
    options = {key.partition(".")[2]: parse_value(settings.pop(key)) for key in keys}
    return Part.parse(text).model_copy(update={"options": options})


def _parts(
    encoders: dict[str, str], projectors: dict[str, str], settings: dict[str, str]
) -> dict[str, Any]:
    """Return the encoders and projectors with their options."""
    from mmmodal.config import parse_value
    from mmmodal.making.composing import Part, usual_projector

    options: dict[tuple[str, str], dict[str, Any]] = {}
    for key, value in settings.items():
        modality, _, rest = key.partition(".")
        kind, _, option = rest.partition(".")
        if kind not in ("encoder", "projector") or not option or modality not in encoders:
            raise click.UsageError(
                f"--set {key}=…: expected backbone.OPTION, or MODALITY.encoder.OPTION or "
                "MODALITY.projector.OPTION of a modality that --encoder names"
            )
        options.setdefault((modality, kind), {})[option] = parse_value(value)
    named: dict[str, dict[str, Part]] = {"encoders": {}, "projectors": {}}
    for kind, given in (("encoder", encoders), ("projector", projectors)):
        for modality, text in given.items():
            part = Part.parse(text)
            chosen = options.pop((modality, kind), {})
            named[f"{kind}s"][modality] = part.model_copy(update={"options": chosen})
    for (modality, _), chosen in options.items():  # options of projectors that are not named
        usual = usual_projector(named["encoders"][modality])
        merged = {**usual.options, **chosen}
        named["projectors"][modality] = usual.model_copy(update={"options": merged})
    return named


def _print_plan(out: Path, wanted: dict[str, Any], as_json: bool) -> None:
    with talking():
        from mmmodal.files import check_new
        from mmmodal.making.composing import plan

        check_new(out)
        downloads = plan(**wanted).downloads()
    if as_json:
        rows = {
            source: None if files is None else [{"file": f, "bytes": n} for f, n in files]
            for source, files in downloads.items()
        }
        click.echo(json.dumps({"downloads": rows}, indent=2))
        return
    total = 0
    for source, files in downloads.items():
        if files is None:
            click.echo(f"{source}: the Hub could not be reached, so the size is unknown")
        elif not files:
            click.echo(f"{source}: nothing to download")
        for name, size in files or []:
            click.echo(f"{size / 1e6:>10.1f} MB  {source}/{name}")
            total += size
    unknown = ", and files of unknown size" if None in downloads.values() else ""
    click.echo(f"{total / 1e6:>10.1f} MB  in total{unknown}")


def _print_result(out: Path, model: Any, as_json: bool) -> None:
    counts = {name: _count(module) for name, module in model.model.named_children()}
    if as_json:
        click.echo(json.dumps({"out": str(out), "parameters": counts}, indent=2))
        return
    click.echo(f"{out}")
    for name, count in counts.items():
        click.echo(f"  {name:<22} {count / 1e6:>10.2f} M parameters")
    for name in model.config.untrained_towers():
        click.echo(
            f"The tower of {name!r} has random weights, as its encoder has no source; add "
            f"towers.{name} to the train.parts of a recipe, or it stays so",
            err=True,
        )
    click.echo(f"Next: mmmodal train align model={out} data=YOUR.jsonl out={out}-aligned", err=True)


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
