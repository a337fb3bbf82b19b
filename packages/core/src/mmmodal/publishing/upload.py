"""Bring a model or adapter folder to the Hub: everything in one commit, or nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.errors import PublishingError, is_debugging, one_line
from mmmodal.publishing.belongings import (
    Belonging,
    belongings,
    is_repository_name,
    left_out,
)
from mmmodal.publishing.card import is_ours, make_card
from mmmodal.publishing.facts import read_facts

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["Publication", "prepare", "upload"]

CARD = "README.md"


@dataclass(frozen=True)
class Publication:
    """What would be, or was, published."""

    repo: str
    files: tuple[Belonging, ...]
    left_out: tuple[str, ...]
    """What is in the folder and does not belong to the model."""

    card_is_ours: bool
    """The card was made, not written by the user."""

    @property
    def card(self) -> str:
        """The text of README.md."""
        content = next(file.content for file in self.files if file.name == CARD)
        return (content if isinstance(content, bytes) else content.read_bytes()).decode()


def prepare(folder: Path, repo: str, base: str | None = None) -> Publication:
    """Say what publishing `folder` as `repo` means; no network is used.

    A README.md in the folder is the card; without one a card is made.

    Raises:
        PublishingError: `repo` is no name of a repository.
        CheckpointError: the folder holds no whole model.
    """
    check_name(repo)
    files = belongings(folder, base)
    facts = read_facts(folder)
    written = folder / CARD
    if ours := not written.is_file():
        if base is None and facts.adapter is not None:
            base = facts.adapter.settings.base_model_name_or_path
        card = Belonging(CARD, make_card(facts, repo, base).encode())
    else:
        card = Belonging(CARD, written)
    files = sorted([*files, card], key=lambda file: file.name)
    return Publication(repo, tuple(files), tuple(left_out(folder, files)), ours)


def upload(publication: Publication, private: bool) -> str:
    """Make the repository where there is none, commit all files at once and return where to look.

    A card that someone edited on the Hub is kept there, unless the folder has one of its own.

    Raises:
        PublishingError: nobody is logged in, or the Hub refuses, or the upload broke off.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if get_token() is None:
        raise PublishingError("nobody is logged in to the Hub; run `hf auth login` or set HF_TOKEN")
    api, repo = HfApi(library_name="mmmodal"), publication.repo
    with _naming_failure(repo):
        api.create_repo(repo, private=private or None, exist_ok=True)
        if private and not api.repo_info(repo).private:
            raise PublishingError(
                f"{repo} exists and is public; make it private on its settings page, or push "
                "without --private"
            )
        keep = publication.card_is_ours and _has_own_card(api, repo)
        operations = [
            CommitOperationAdd(file.name, file.content)
            for file in publication.files
            if not (keep and file.name == CARD)
        ]
        made = api.create_commit(repo, operations, commit_message="Upload with mmmodal push")
    return str(made.commit_url)


def check_name(repo: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        PublishingError: it says what a name looks like.
    """
    if not is_repository_name(repo):
        raise PublishingError(
            "a repository is named OWNER/NAME, of letters, digits, '-', '_' and '.'; for example "
            "your-name/my-model"
        )


def _has_own_card(api: HfApi, repo: str) -> bool:
    """Say whether the repository has a card that `mmmodal push` did not make."""
    if not api.file_exists(repo, CARD):
        return False
    path = api.hf_hub_download(repo, CARD)
    return not is_ours(Path(path).read_text(encoding="utf-8"))


@contextlib.contextmanager
def _naming_failure(repo: str) -> Iterator[None]:
    """Turn what goes wrong on the way into one error that says what to do."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except PublishingError:
        raise
    except Exception as error:  # the Hub's client, its HTTP library and the disk have their own
        if is_debugging():
            raise
        print(file=sys.stderr)  # a progress bar may be left on the line that the error is to have
        answer = next((e for e in _causes(error) if isinstance(e, HfHubHTTPError)), None)
        status = answer.response.status_code if answer is not None else None
        again = "nothing was committed; the same command sends only what is missing"
        reasons = {
            401: "the Hub does not know this token; run `hf auth login` anew or set HF_TOKEN",
            403: f"this token may not write to {repo}; use one that may, of its owner",
            404: f"{repo} is not there, or this token may not see it",
        }
        otherwise = f"{type(error).__name__}: {one_line(error, 200)}; {again}"
        reason = reasons.get(status or 0, otherwise)
        raise PublishingError(f"{repo} could not be published: {reason}") from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
