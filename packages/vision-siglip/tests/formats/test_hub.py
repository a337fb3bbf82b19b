"""open_clip's repositories on the Hub, here a local server that speaks the Hub's API."""

from __future__ import annotations

from pathlib import Path

import torch

import tiny_open_clip as tiny
from local_hub import Repository, instead_of_the_hub, local_hub
from mmmodal_vision_siglip import Siglip

WEIGHTS = "open_clip_model.safetensors"


def test_repository_of_open_clip_is_downloaded_with_and_without_its_prefix(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    tiny.write(folder, tiny.model_config())
    expected = dict(Siglip.from_source(str(folder), {}).load(str(folder)))
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    size = (folder / WEIGHTS).stat().st_size
    with local_hub() as hub, instead_of_the_hub(hub, tmp_path / "cache"):
        hub.repositories["lab/siglip"] = Repository(private=False, files=files)
        for source, download in (("hf-hub:lab/siglip", [(WEIGHTS, size)]), ("lab/siglip", [])):
            encoder = Siglip.from_source(source, {})
            assert encoder.download_size(source) == download
            found = dict(encoder.load(source))
            assert encoder.download_size(source) == []
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in found)
