"""`mmmodal plugins`, `modalities`, `encoders` and its like: installed parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import EntryPoint
from typing import Any

import click
from pydantic.fields import FieldInfo

from mmmodal.cli.main import COMMANDS, package_of, plugin_commands
from mmmodal.cli.output import example, print_json, print_table
from mmmodal.config import SET_BY_SOURCE, alternatives, suggest
from mmmodal.contracts import Card, Encoder
from mmmodal.contracts.addition import Provided
from mmmodal.errors import PartError, PluginError
from mmmodal.plugins import KINDS, Plugin, Registry, registry
from mmmodal.requirements import unbounded

__all__ = ["backbones", "encoders", "formats", "modalities", "plugins", "projectors"]

ATTRIBUTES = {
    "modalities": ("begin", "end", "slot", "separator", "input_name"),
    "encoders": ("modality", "default_projector", "source"),
    "projectors": ("pointwise", "tilewise"),
    "backbones": ("source",),
    "formats": ("written", "shape"),
}
"""The attributes of a part's class to list, for each kind."""

PROBLEMS = {
    "failed": "failed to load",
    "incompatible": "is incompatible",
    "unmet": "lacks what it needs",
}
"""What the lists of parts say of plugins that are not ok, by status."""

CARDS: dict[str, tuple[str, ...]] = {
    "encoders": ("width", "positions", "per", "tokens", "licence"),
    "backbones": ("parameters", "positions", "licence"),
}
"""The facts of a card to list; the `tokens` of an encoder are counted after its projector."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(invoke_without_command=True, epilog=example("mmmodal plugins --json"))
@json_option
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List the plugins of this environment with their parts, or why they do not work."""
    if context.invoked_subcommand is not None:
        return
    found = _plugins()
    if as_json:
        _print_plugins(found)
        return
    rows = [{**vars(plugin), "provides": _provides(plugin)} for plugin in found]
    headings = ("PLUGIN", "PACKAGE", "VERSION", "STATUS", "PROVIDES", "REASON")
    keys = ("name", "package", "version", "status", "provides", "reason")
    print_table(rows, dict(zip(keys, headings, strict=True)))


@plugins.command(epilog=example("mmmodal plugins check siglip"))
@click.argument("name")
@json_option
@click.pass_context
def check(context: click.Context, name: str, as_json: bool) -> None:
    """Load the plugin NAME (or all plugins of the package NAME), and print the whole traceback.

    Exit with 1 if it is not ok.
    """
    found = [plugin for plugin in _plugins() if name in (plugin.name, plugin.package)]
    if not found:
        known = [plugin.name for plugin in _plugins()]
        raise PluginError(f"there is no plugin {name!r}{suggest(name, known)}")
    if as_json:
        _print_plugins(found)
    for plugin in found:
        if plugin.details:
            click.echo(plugin.details, err=True)
        if as_json:
            continue
        about = f"{plugin.name} ({plugin.package} {plugin.version}): {plugin.status}"
        details = "; ".join(text for text in (_provides(plugin), plugin.reason) if text)
        click.echo(f"{about}: {details}" if details else about, err=plugin.status != "ok")
    if any(plugin.status != "ok" for plugin in found):
        context.exit(1)


def _print_plugins(found: Sequence[Plugin]) -> None:
    keys = ("name", "package", "version", "status", "reason", "provides")
    print_json([{key: getattr(plugin, key) for key in keys} for plugin in found])


def _plugins() -> list[Plugin]:
    """Return all plugins, with the parts of families that plugins define, and with commands."""
    found = {plugin.name: plugin for plugin in registry().plugins}
    for family in registry().families:
        for other in Registry(family).plugins:
            mine = found[other.name]
            provides = {**mine.provides, **other.provides}
            if mine.status == "ok" and other.status == "failed":
                mine = other
            found[other.name] = replace(mine, provides=provides)
    plugins = list(found.values())
    for name, entries in sorted(plugin_commands().items()):
        for entry in entries:
            _add_command(plugins, name, entry)
    return [_with_note(plugin) for plugin in plugins]


def _with_note(plugin: Plugin) -> Plugin:
    """Return a plugin that works with a note for its author, if there is one."""
    note = unbounded(plugin.package) if plugin.status == "ok" else ""
    return replace(plugin, reason="; ".join(filter(None, (plugin.reason, note))))


def _add_command(plugins: list[Plugin], name: str, entry: EntryPoint) -> None:
    """Add a command to the first plugin of its package; a package may have commands alone."""
    package = package_of(entry)
    place = next((i for i, p in enumerate(plugins) if p.package == package), len(plugins))
    if place == len(plugins):
        version = entry.dist.version if entry.dist is not None else ""
        plugins.append(Plugin(package, package, version, "ok"))
    plugin = plugins[place]
    provides, reason = dict(plugin.provides), plugin.reason
    if name in COMMANDS:
        told = f"its command {name!r} is not used: core has one"
        reason = "; ".join(filter(None, (reason, told)))
    else:
        provides["commands"] = [*provides.get("commands", []), name]
    plugins[place] = replace(plugin, provides=provides, reason=reason)


def _provides(plugin: Plugin) -> str:
    provided = []
    for kind, names in plugin.provides.items():
        many = len(names) > 5
        provided.append(f"{len(names)} {kind}" if many else f"{kind} {', '.join(names)}")
    return "; ".join(provided)


def _list_command(kind: str, what: str) -> click.Command:
    """Return the command that lists one kind of part."""

    @click.command(
        kind,
        help=f"List {what}, with the options of each.",
        epilog=example(f"mmmodal {kind} --json"),
    )
    @json_option
    def command(as_json: bool) -> None:
        rows = [_row(kind, name, provided) for name, provided in registry().provided(kind)]
        if as_json:
            print_json(rows)
        else:
            _print_parts(kind, rows)
        for plugin in registry().plugins:
            if problem := PROBLEMS.get(plugin.status):
                about = f"plugin {plugin.name!r} of {plugin.package} {problem}"
                click.echo(f"{about}: {plugin.reason}", err=True)
        for conflict in registry().conflicts(kind).values():
            click.echo(conflict, err=True)

    return command


def _row(kind: str, name: str, provided: Provided) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "package": provided.package, "version": provided.version}
    row |= {key: getattr(provided.part, key, None) for key in ATTRIBUTES[kind]}
    row |= _card(kind, provided.part)
    if kind != "modalities":
        row["options"] = _options(provided.part)
    return row


def _card(kind: str, part: type[Any]) -> dict[str, Any]:
    """Return the facts of a part's card; all are None without a card."""
    card = getattr(part, "card", None)
    facts = {} if card is None else asdict(card)
    if isinstance(card, Card):
        facts["tokens"] = _tokens(part, card)
    return {key: facts.get(key) for key in CARDS.get(kind, ())}


def _tokens(encoder: type[Encoder], card: Card) -> int | None:
    """Return the number of tokens of a card's positions after the default projector; None if that
    needs a grid."""
    provided = registry().get("projectors", encoder.default_projector)
    if provided is None:
        return None
    try:
        tokens: int = provided.part().length((card.positions,))
    except PartError:
        return None
    return tokens


def _options(part: type[Any]) -> list[dict[str, Any]]:
    """Return the options of a part, from its pydantic model, without building the part."""
    return [
        {
            "name": name,
            "type": _type_name(field.annotation),
            "required": field.is_required(),
            "default": _default(field),
            "of_source": SET_BY_SOURCE in field.metadata,
            "description": field.description,
        }
        for name, field in part.Options.model_fields.items()
    ]


def _default(field: FieldInfo) -> Any:
    if (
        field.is_required()
        or field.default_factory_takes_validated_data
        or SET_BY_SOURCE in field.metadata
    ):
        return None
    return field.get_default(call_default_factory=True)


def _type_name(annotation: Any) -> str:
    return " | ".join(
        kind.__name__ if type(kind) is type else str(kind).replace("typing.", "")
        for kind in alternatives(annotation)
    ).replace("NoneType", "None")


def _print_parts(kind: str, rows: list[dict[str, Any]]) -> None:
    columns = {"name": KINDS[kind].upper(), "package": "PACKAGE", "version": "VERSION"}
    keys = [*ATTRIBUTES[kind], *CARDS.get(kind, ())]
    columns |= {key: key.replace("_", " ").upper() for key in keys}
    if kind != "modalities":
        columns["options"] = "OPTIONS"
        for row in rows:
            row["options"] = " ".join(
                _shown(option) for option in row["options"] if not option["of_source"]
            )
            if count := row.get("parameters"):
                row["parameters"] = f"{count / 1e9:.2f} B"
    print_table(rows, columns)


def _shown(option: dict[str, Any]) -> str:
    return f"{option['name']}=" + ("…" if option["required"] else f"{option['default']}")


modalities = _list_command("modalities", "the kinds of data that models can process")
encoders = _list_command("encoders", "the encoders")
projectors = _list_command("projectors", "the projectors")
backbones = _list_command("backbones", "the language models")
formats = _list_command("formats", "the formats of rows of data files")
