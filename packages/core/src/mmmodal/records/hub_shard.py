"""One file of a data set of the Hub, and the errors of reaching it."""

from __future__ import annotations

import contextlib
import os.path
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmmodal.errors import RecordError, one_line
from mmmodal.media.source import Source
from mmmodal.media.tars import split_member
from mmmodal.records.json_text import printable
from mmmodal.records.paths import is_relative
from mmmodal.records.shard_names import kind_of

__all__ = ["HubShard", "hub_errors"]


@dataclass(frozen=True)
class HubShard:
    """One file of a data set at a commit."""

    repository: str
    commit: str
    file: str
    folder: None = None
    """The folder of relative media paths, which is that of the file."""

    @property
    def name(self) -> str:
        """Its address."""
        return f"hf://datasets/{self.repository}@{self.commit}/{self.file}"

    def path(self) -> Path:
        """Return the file in the Hub's cache, after downloading it if it is not there.

        Raises:
            RecordError: the Hub cannot be reached, or refuses.
        """
        from huggingface_hub import hf_hub_download

        with hub_errors(self.repository, self.commit):
            return Path(
                hf_hub_download(
                    self.repository, self.file, repo_type="dataset", revision=self.commit
                )
            )

    def beside(self, uri: str) -> Source | None:
        """Return the medium at a path that begins in the file's folder, of the same commit."""
        path, member = split_member(uri)
        file = os.path.normpath(os.path.join(os.path.dirname(self.file), path))
        if "\0" in path or not is_relative(path) or file.split("/")[0] in ("..", "."):
            return None
        remote = HubShard(self.repository, self.commit, file)
        origin = printable(remote.name if member is None else f"{remote.name}::{member}")
        return Source(origin, remote=remote, member=member, name=member or file)


@contextlib.contextmanager
def hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Raise errors of the Hub and the network as one RecordError with what to do."""
    from huggingface_hub import errors

    where = f"hf://datasets/{repository}"
    try:
        yield
    except errors.GatedRepoError:
        reason = "it is gated; accept its terms on its page, and log in by `hf auth login`"
    except errors.RepositoryNotFoundError:
        reason = (
            "there is no such data set on the Hub, nor a local path of this name, or it is "
            "private; check the name, or log in by `hf auth login`"
        )
    except errors.RevisionNotFoundError:
        reason = f"it has no revision {revision!r:.80}; name a branch, tag or commit"
    except errors.LocalEntryNotFoundError as error:
        reason = _unreachable(repository, error)
    except errors.EntryNotFoundError:
        reason = (
            "it has no such file; correct the path, or download what holds the file, unpack it, "
            "and name its folder by --root (`root` in recipes)"
        )
    except errors.HfHubHTTPError as error:
        refusal = one_line(error.server_message or error, 200)
        reason = f"the Hub refused ({refusal}); try again later"
    except (ValueError, RuntimeError):  # of data, and of this module
        raise
    except Exception as error:  # of one of several network libraries, or the disk
        reason = _unreachable(repository, error)
    else:
        return
    raise RecordError(where, reason) from None


def _unreachable(repository: str, error: Exception) -> str:
    """Return the reason why a file or list could not be fetched, and what the cache holds."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    why = "HF_HUB_OFFLINE is set" if offline else type(error).__name__
    told = f"the Hub cannot be reached ({why})"
    folder = Path(constants.HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}/snapshots"
    cached = max(folder.glob("*"), key=lambda path: path.stat().st_mtime, default=None)
    if cached is None:
        return f"{told}, and nothing of it is cached; go online, or name a local path"
    number = sum(path.is_file() and kind_of(path.name) is not None for path in cached.rglob("*"))
    return f"{told}; {number:,} of its shards are cached: go online, or name them, in {cached}"
