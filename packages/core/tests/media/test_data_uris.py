"""Base64 as browsers, shells, mail and web forms write it is the same bytes; what is damaged is not."""

from __future__ import annotations

import base64
import textwrap
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmmodal.errors import MediaError
from mmmodal.media.limits import Limits
from mmmodal.media.source import open_source

LIMITS = Limits(inline_bytes=4_096)
DATA = np.random.default_rng(0).bytes(2_000)  # of a length that needs padding
TEXT = base64.b64encode(DATA).decode()
assert TEXT.endswith("=") and "+" in TEXT and "/" in TEXT

BODIES = {
    "one line": TEXT,
    "lines of 76": base64.encodebytes(DATA).decode(),
    "lines of 64 that end as on Windows": "\r\n".join(textwrap.wrap(TEXT, 64)),
    "lines of 76, indented": textwrap.indent(base64.encodebytes(DATA).decode(), "\t  "),
    "groups of four": " ".join(textwrap.wrap(TEXT, 4)),
    "a break and spaces anywhere": TEXT[:5] + " \n\t\f " + TEXT[5:77] + "  " + TEXT[77:],
    "space around": f"  {TEXT} \n",
    "a break before the padding": f"{TEXT.rstrip('=')}\n=",
    "no padding": TEXT.rstrip("="),
    "no padding in lines": base64.encodebytes(DATA).decode().rstrip("=\n"),
    "the alphabet of URLs": base64.urlsafe_b64encode(DATA).decode(),
    "the alphabet of URLs without padding": base64.urlsafe_b64encode(DATA).decode().rstrip("="),
    "percent-encoded": quote(TEXT, safe=""),
    "percent-encoded in lower case": quote(TEXT, safe="")
    .replace("%2B", "%2b")
    .replace("%2F", "%2f"),
    "percent-encoded line breaks": quote(base64.encodebytes(DATA).decode(), safe=""),
    "percent-encoded padding alone": TEXT.replace("=", "%3D"),
}
HEADS = (
    "data:image/png;base64,",
    "DATA:IMAGE/PNG;BASE64,",
    "data:;base64,",
    "data:image/png;charset=utf-8;base64,",
    'data:image/png;name="a b.png";charset=US-ASCII;base64,',
    "data:application/octet-stream;base64,",
    "data:image/png; base64 ,",
    " \ndata:image/png;base64,",
)


def read(uri: str, limits: Limits = LIMITS) -> bytes:
    return open_source(uri, root=None, limits=limits).read_bytes(limits)


@pytest.mark.parametrize("body", BODIES)
def test_every_way_to_write_base64_is_read(body: str) -> None:
    assert read(f"data:image/png;base64,{BODIES[body]}") == DATA


@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_read(head: str) -> None:
    assert read(head + TEXT) == DATA


@given(data=st.binary(min_size=1, max_size=90), breaks=st.lists(st.integers(0, 120), max_size=5))
def test_breaks_and_padding_never_matter(data: bytes, breaks: list[int]) -> None:
    text = base64.b64encode(data).decode().rstrip("=")
    for place in breaks:
        text = text[:place] + "\n" + text[place:]
    assert read(f"data:;base64,{text}") == data


@pytest.mark.parametrize(
    "body",
    [
        "A",
        "AAAAA",
        "AAAA=",
        "AAA==",
        "AA===",
        "=",
        "AA==AA==",
        "AAAA,AAAA",
        "AAé=",
        "AA%",
        "AA%3",
        "AA%253D%253D",  # percent-encoded twice
        "AA%41%41",  # an escape that no encoder writes
        "AAAA#name",
        "AA.AAA",
        "\\u002b",
    ],
)
def test_what_is_not_base64_is_refused(body: str) -> None:
    with pytest.raises(MediaError, match="its data is not valid base64; encode again") as caught:
        read(f"data:image/png;base64,{body}")
    assert caught.value.code == "data-uri"


def test_base64_whose_plus_signs_became_spaces_is_refused() -> None:
    with pytest.raises(MediaError, match="not valid base64"):
        read(f"data:image/png;base64,{TEXT.replace('+', ' ')}")


@pytest.mark.parametrize("uri", ["data:", "data:,abc", "data:image/png,abc", "data:base64,AAAA"])
def test_data_uri_without_base64_is_refused(uri: str) -> None:
    with pytest.raises(MediaError, match=r"write it as data:<type>;base64,<data>") as caught:
        read(uri)
    assert caught.value.code == "data-uri"


def test_limit_counts_bytes_not_breaks() -> None:
    for text in (TEXT, base64.encodebytes(DATA).decode(), TEXT.rstrip("="), quote(TEXT, safe="")):
        assert len(read(f"data:;base64,{text}", Limits(inline_bytes=2_000))) == 2_000
        with pytest.raises(MediaError, match="2,000 bytes exceed the limit of 1,999"):
            read(f"data:;base64,{text}", Limits(inline_bytes=1_999))
