"""`mmmodal push`: publish a model or an adapter on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmmodal.cli.output import example, print_json, talking

if TYPE_CHECKING:
    from mmmodal.publishing.upload import Publication


@click.command(epilog=example("mmmodal push my-model me/my-model --dry-run"))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("repo")
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--base", metavar="OWNER/NAME", help="The published base model of an adapter.")
@click.option("--dry-run", is_flag=True, help="List the files to publish, and publish none.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def push(
    folder: Path, repo: str, private: bool, base: str | None, dry_run: bool, as_json: bool
) -> None:
    """Publish the model or adapter in the folder DIR on the Hugging Face Hub as REPO (OWNER/NAME).

    A README.md in DIR is its model card; without one, a card is generated from the records of its
    training.
    """
    with talking():
        from mmmodal.publishing.upload import prepare, upload

        publication = prepare(folder, repo, base)
        url = None if dry_run else upload(publication, private)
    if as_json:
        print_json(_result(publication, private, url))
    elif url is not None:
        click.echo(url)
    else:
        _print_files(publication)


def _result(publication: Publication, private: bool, url: str | None) -> dict[str, object]:
    return {
        "repo": publication.repo,
        "private": private,
        "url": url,
        "files": [{"file": file.name, "bytes": file.size} for file in publication.files],
        "left_out": list(publication.left_out),
        "card": publication.card,
    }


def _print_files(publication: Publication) -> None:
    for file in publication.files:
        click.echo(f"{file.size / 1e6:>10.1f} MB  {publication.repo}/{file.name}")
    total = sum(file.size for file in publication.files)
    click.echo(f"{total / 1e6:>10.1f} MB  in total")
    if publication.left_out:
        click.echo(f"Not published: {', '.join(publication.left_out)}")
    click.echo(f"\nREADME.md:\n\n{publication.card}")
