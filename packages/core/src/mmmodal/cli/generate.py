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
            "--temperature",
            type=click.FloatRange(0, 100),
            default=0.0,
            show_default=True,
            help="0 always selects the most probable token.",
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
    max_new_tokens: int,
    temperature: float,
    limits: tuple[str, ...],
    as_json: bool,
    media: tuple[str, ...],
    **loading: Any,
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
        chat = open_chat(checkpoint, system, max_new_tokens, temperature, allowed, **loading)
        answer = chat.say([*({"type": kind, "path": path} for kind, path in pairs), text])
    if as_json:
        named = [{"kind": kind, "path": path} for kind, path in pairs]
        click.echo(
            json.dumps({"prompt": text, "media": named, "answer": answer}, ensure_ascii=False)
        )
    else:
        click.echo(answer)


def open_chat(
    checkpoint: Path,
    system: str | None,
    max_new_tokens: int,
    temperature: float,
    limits: LimitSettings,
    **loading: Any,
) -> Any:
    """Return a chat with a checkpoint; the arguments are those of `mmmodal.load`."""
    import mmmodal

    settings: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": temperature > 0}
    if temperature > 0:
        settings["temperature"] = temperature
    model = mmmodal.load(checkpoint, **loading)
    model.processor.allow(limits)
    return mmmodal.Chat(model, system=system, **settings)
