"""Models by openai-whisper's name: downloaded, verified and cached by openai-whisper itself."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import whisper

from mmmodal.errors import PartError
from mmmodal.pretrained import read_pickled
from mmmodal_audio_whisper import Whisper, to_openai
from mmmodal_audio_whisper.sizes import SIZES
from whisper_models import encode, openai_whisper, save_openai
from worlds import clip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of openai-whisper's own cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "whisper"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def published(
    openai_tiny: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """What a server has for `tiny`, below its checksum as at OpenAI's; the table leads there."""
    checksum = hashlib.sha256(openai_tiny.read_bytes()).hexdigest()
    path = tmp_path / "site" / checksum / "tiny.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(openai_tiny.read_bytes())
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{checksum}/tiny.pt"
    monkeypatch.setitem(whisper._MODELS, "tiny", url)
    yield path
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def openai_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the published size `tiny`, in half precision as OpenAI's are."""
    model = openai_whisper(SIZES["tiny"]).half()
    return save_openai(model, tmp_path_factory.mktemp("openai") / "tiny.pt")


def test_half_precision_arrives_as_it_is(openai_tiny: Path) -> None:
    encoder = Whisper.from_source(str(openai_tiny), {})
    held = read_pickled(openai_tiny)["model_state_dict"]
    for name, value in encoder.load(str(openai_tiny)):
        assert value.dtype == torch.float16
        assert torch.equal(value, held[f"encoder.{next(iter(to_openai({name: value})))}"])
    tower = encoder.build()
    tower.load_state_dict(dict(encoder.load(str(openai_tiny))))
    assert {value.dtype for value in tower.state_dict().values()} == {torch.float32}
    assert torch.equal(tower.conv1.weight.half(), held["encoder.conv1.weight"])


def test_name_is_downloaded_once_and_its_config_not_at_all(
    published: Path, openai_tiny: Path, cache: Path
) -> None:
    encoder = Whisper.from_source("tiny", {})
    assert encoder.width == 384
    assert encoder.download_size("tiny") == [("tiny.pt", openai_tiny.stat().st_size)]
    assert not cache.exists()
    (found,) = encode("tiny", [clip(seconds=1.0)])
    assert torch.equal(found, encode(openai_tiny, [clip(seconds=1.0)])[0])
    assert encoder.download_size("tiny") == []
    published.unlink()
    assert torch.equal(found, encode("tiny", [clip(seconds=1.0)])[0])


def test_a_download_that_was_cut_off_is_taken_again(
    published: Path, openai_tiny: Path, cache: Path
) -> None:
    cache.mkdir(parents=True)
    (cache / "tiny.pt").write_bytes(openai_tiny.read_bytes()[:100_000])
    encoder = Whisper.from_source("tiny", {})
    assert encoder.download_size("tiny") == [("tiny.pt", openai_tiny.stat().st_size)]
    with pytest.warns(UserWarning, match="checksum does not match; re-downloading"):
        assert dict(encoder.load("tiny"))
    assert (cache / "tiny.pt").read_bytes() == openai_tiny.read_bytes()


def test_wrong_checksum_is_refused(published: Path) -> None:
    published.write_bytes(b"another file")
    with pytest.raises(PartError, match=r"^tiny: .*checksum does not.*; remove .*tiny\.pt and try"):
        dict(Whisper.from_source("tiny", {}).load("tiny"))


def test_failed_download_is_one_error_that_says_where_the_file_belongs(
    published: Path, cache: Path
) -> None:
    published.unlink()
    encoder = Whisper.from_source("tiny", {})
    assert encoder.download_size("tiny") is None
    reason = rf"^tiny: http://.*/tiny\.pt cannot be downloaded .*404.*at {cache}/tiny\.pt$"
    with pytest.raises(PartError, match=reason):
        dict(encoder.load("tiny"))


def test_model_that_is_newer_than_our_table_is_read_from_its_file(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = published.rename(published.with_name("large-v9.pt"))
    url = whisper._MODELS["tiny"].replace("tiny.pt", newer.name)
    monkeypatch.setitem(whisper._MODELS, "large-v9", url)
    assert Whisper.from_source("large-v9", {}).width == 384


def test_model_of_another_size_than_it_is_known_by_is_refused(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = published.rename(published.with_name("base.pt"))
    url = whisper._MODELS["tiny"].replace("tiny.pt", wrong.name)
    monkeypatch.setitem(whisper._MODELS, "base", url)
    with pytest.raises(PartError, match="does not have the size of 'base'"):
        dict(Whisper.from_source("base", {}).load("base"))


@pytest.mark.parametrize("name", whisper.available_models())
def test_every_name_of_openai_is_known_without_its_file(name: str, cache: Path) -> None:
    encoder = Whisper.from_source(name, {})
    stem = {"large": "large-v3", "turbo": "large-v3-turbo"}.get(name, name).removesuffix(".en")
    assert encoder.width == SIZES[stem].width
    assert encoder.options.num_mel_bins == (128 if "v3" in stem else 80)
    assert not cache.exists()
