"""Tiny parts and models that all tests share: made once a process, and only read.

What takes long to import is imported where it is used, as pytest reads this file in every process.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

WRITTEN = "a test has written to a folder that others read; let it have a copy"


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Folders of random-init parts: `siglip`, `whisper` and a language model of each family."""
    from worlds import digest_of, tiny_parts

    folders = tiny_parts(tmp_path_factory.mktemp("parts"))
    digests = {name: digest_of(folder) for name, folder in folders.items()}
    yield folders
    assert {name: digest_of(folder) for name, folder in folders.items()} == digests, WRITTEN


@pytest.fixture(scope="session")
def composed(
    parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Path]]:
    """Return the folder of a model of both encoders and a language model of a family."""
    from worlds import compose, digest_of

    root, digests = tmp_path_factory.mktemp("composed"), {}

    def folder(family: str) -> Path:
        if family not in digests:
            compose(parts[family], parts, root / family)
            digests[family] = digest_of(root / family)
        return root / family

    yield folder
    assert {family: digest_of(root / family) for family in digests} == digests, WRITTEN


@pytest.fixture(scope="module")
def family() -> str:
    """The family of the language model of `start` and `model`; a file may have another."""
    return "llama"


@pytest.fixture(scope="module")
def start(composed: Callable[[str], Path], family: str) -> Path:
    """A model folder of both encoders, for tests that only read it."""
    return composed(family)


@pytest.fixture(scope="module")
def model(start: Path) -> MMModalForConditionalGeneration:
    """The model of `start`, which the tests of one file share."""
    import mmmodal

    return mmmodal.load(start)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the `folder` of a test file, to be damaged."""
    return shutil.copytree(folder, tmp_path / "copy")
