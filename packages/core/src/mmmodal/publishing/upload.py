"""Upload a model or adapter folder to the Hub, in a single commit."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.downloads import is_repository_name
from mmmodal.errors import PublishingError, is_debugging, one_line
from mmmodal.publishing.belongings import Belonging, belongings, left_out
from mmmodal.publishing.card import is_ours, make_card
from mmmodal.publishing.facts import read_facts

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["Publication", "prepare", "upload"]

CARD = "README.md"


@dataclass(frozen=True)
class Publication:
    """The files to publish."""

    repo: str
    files: tuple[Belonging, ...]
    left_out: tuple[str, ...]
    """The names in the folder that do not belong to the model."""

    card_is_ours: bool
    """Whether the card was generated, not written by the user."""

    @property
    def card(self) -> str:
        """The text of README.md."""
        content = next(file.content for file in self.files if file.name == CARD)
        return (content if isinstance(content, bytes) else content.read_bytes()).decode()


def prepare(folder: Path, repo: str, base: str | None = None) -> Publication:
    """Return the publication of `folder` as `repo`, without using the network.

    A README.md in the folder is the card; without one a card is generated.

    Raises:
        PublishingError: `repo` is not a valid name of a repository.
        CheckpointError: the folder does not hold a complete model.
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
    """Create the repository if needed, upload all files in one commit, and return the URL.

    A card that was edited on the Hub is kept, unless the folder has its own card.

    Raises:
        PublishingError: the user is not logged in, the Hub refuses, or the upload failed.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if get_token() is None:
        raise PublishingError("not logged in to the Hub; run `hf auth login` or set HF_TOKEN")
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
    """Check the name of a repository.

    Raises:
        PublishingError: the name is not valid.
    """
    if not is_repository_name(repo):
        raise PublishingError(
            "the name of a repository is OWNER/NAME, of letters, digits, '-', '_' and '.'; for "
            "example your-name/my-model"
        )


def _has_own_card(api: HfApi, repo: str) -> bool:
    """Return whether the repository has a card that `mmmodal push` did not make."""
    if not api.file_exists(repo, CARD):
        return False
    path = api.hf_hub_download(repo, CARD)
    return not is_ours(Path(path).read_text(encoding="utf-8"))


@contextlib.contextmanager
def _naming_failure(repo: str) -> Iterator[None]:
    """Raise any error of the upload as one PublishingError with the cause and what to do."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except PublishingError:
        raise
    except Exception as error:  # the Hub's client, its HTTP library and the disk differ in errors
        if is_debugging():
            raise
        print(file=sys.stderr)  # an interrupted progress bar may leave its line unfinished
        answer = next((e for e in _causes(error) if isinstance(e, HfHubHTTPError)), None)
        status = answer.response.status_code if answer is not None else None
        again = "nothing was published; run the same command again to send the missing files"
        reasons = {
            401: "the Hub does not know this token; run `hf auth login` again or set HF_TOKEN",
            403: f"this token has no write access to {repo}; use a token of its owner",
            404: f"{repo} does not exist, or this token has no access to it",
        }
        otherwise = f"{type(error).__name__}: {one_line(error, 200)}; {again}"
        reason = reasons.get(status or 0, otherwise)
        raise PublishingError(f"{repo} could not be published: {reason}") from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
