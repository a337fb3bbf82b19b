"""`mmmodal generate`: answer one prompt about any number of media."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmmodal.cli.options import limit_option, read_limits, read_media_options
from mmmodal.cli.output import example, talking
from mmmodal.cli.text import check_typed, input_text

if TYPE_CHECKING:
    from mmmodal.limits import LimitSettings

MEDIA_SETTINGS = {"ignore_unknown_options": True}
TALKING = ("max_new_tokens", "temperature", "top_p", "top_k", "stop_strings")


def loading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for loading a model, with the names of the arguments of `mmmodal.load`."""
    for option in (
        click.option(
            "--quantization",
            type=click.Choice(["4bit", "8bit"]),
            help="Quantize the language model; needs bitsandbytes.",
        ),
        click.option(
            "--attn-implementation",
            type=click.Choice(["eager", "sdpa", "flash_attention_2", "flex_attention"]),
            help="The attention implementation of the language model.",
        ),
        click.option(
            "--dtype",
            type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
            default="auto",
            show_default=True,
            help="The precision of the weights; auto is that of the folder.",
        ),
        click.option("--device", help="cpu, cuda, cuda:1 …; by default the GPU, if there is one."),
    ):
        command = option(command)
    return command


def talking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for generating an answer."""
    for option in (
        click.option(
            "--stop",
            "stop_strings",
            multiple=True,
            metavar="TEXT",
            help="End an answer in front of this text; repeatable.",
        ),
        click.option(
            "--top-k",
            type=click.IntRange(0),
            help="Draw only from the most probable tokens, this many.",
        ),
        click.option(
            "--top-p",
            type=click.FloatRange(0, 1),
            help="Draw only from the most probable tokens of this probability in sum.",
        ),
        click.option(
            "--temperature",
            type=click.FloatRange(0, 100),
            help="Draw tokens; 0 always selects the most probable one, as without these options.",
        ),
        click.option(
            "--max-new-tokens",
            type=click.IntRange(1),
            default=512,
            show_default=True,
            help="The maximum length of an answer.",
        ),
    ):
        command = option(command)
    return command


@click.command(
    context_settings=MEDIA_SETTINGS,
    epilog=example('mmmodal generate my-model --prompt "What is it?" --image a.jpg'),
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--prompt", required=True, help="The prompt; `-` reads it from standard input.")
@click.option("--system", help="The system message in front of the prompt.")
@limit_option
@talking_options
@loading_options
@click.option("--json", "as_json", is_flag=True, help="Print prompt, media and answer as JSON.")
@click.argument("media", nargs=-1, type=click.UNPROCESSED)
def generate(
    checkpoint: Path,
    prompt: str,
    system: str | None,
    limits: tuple[str, ...],
    as_json: bool,
    media: tuple[str, ...],
    **options: Any,
) -> None:
    """Answer one prompt about media: --image PATH, --audio PATH …, repeatable, in order."""
    from mmmodal.plugins import registry

    pairs = read_media_options(media, registry().names("modalities"))
    check_typed(prompt, "--prompt")
    check_typed(system, "--system")
    text = input_text() if prompt == "-" else prompt
    with talking():
        from mmmodal.media import open_source

        allowed = read_limits(limits)
        for _, path in pairs:
            open_source(path, root=None, limits=allowed)  # reports a wrong path before loading
        chat = open_chat(checkpoint, system, allowed, **options)
        answer = chat.say([*({"type": kind, "path": path} for kind, path in pairs), text])
    if as_json:
        named = [{"kind": kind, "path": path} for kind, path in pairs]
        click.echo(
            json.dumps({"prompt": text, "media": named, "answer": answer}, ensure_ascii=False)
        )
    else:
        click.echo(answer)


def open_chat(checkpoint: Path, system: str | None, limits: LimitSettings, **options: Any) -> Any:
    """Return a chat with a checkpoint; options are those of `talking_options` and of loading."""
    import mmmodal

    settings = {name: options.pop(name) for name in TALKING}
    model = mmmodal.load(checkpoint, **options)
    model.processor.allow(limits)
    return mmmodal.Chat(model, system=system, **settings)
