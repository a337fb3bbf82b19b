"""Images: decode any common format to one upright 8-bit RGB picture."""

from __future__ import annotations

import ctypes
import itertools
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from pydantic import Field

from mmmodal.contracts.modality import Modality
from mmmodal.errors import MediaError
from mmmodal.media.limits import Limits
from mmmodal.media.reading import decoding, looks_like
from mmmodal.media.source import Source
from mmmodal.modalities.arrays import numpy_array
from mmmodal.modalities.pixels import FORMS, as_pixels

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = ["Image", "ImageLimits"]

logging.getLogger("PIL").addHandler(logging.NullHandler())  # keeps its errors off stderr

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# Pillow's plugins, chosen by content. `PIL.Image.open` would apply its own global limits first,
# and warn on stderr.
PLUGINS = {
    "Jpeg": re.compile(rb"\xff\xd8\xff"),
    "Png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WebP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "Gif": re.compile(rb"GIF8[79]a"),
    "Bmp": re.compile(rb"BM"),
    "Tiff": re.compile(rb"II[*+]\x00|MM\x00[*+]"),
}
# Entropy-coded data escapes 0xff as ff 00; only d0 to d7 may occur in it as markers.
JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
JPEG_SCAN, JPEG_END = b"\xda", b"\xd9"
JPEG_BLOCK = 65_536  # bytes
BYTES_PER_PIXEL = 4  # Pillow takes 4 for every mode of more than one channel
MOST_SCANS = 64  # usual progressive JPEGs have 10; 1,000 in a 400 kB file took 40 s to decode
MOST_SEGMENTS = 10_000
MOST_READS = 500_000
WARNINGS = threading.Lock()  # warning filters are global: two threads could leave them changed
TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_TILE_WIDTH, TIFF_TILE_LENGTH = 258, 262, 322, 323


class ImageLimits(Limits):
    """The limits of a picture."""

    pixels: int = Field(50_000_000, gt=0)
    """The maximum number of pixels in total."""

    side: int = Field(16_384, gt=0)
    """The maximum number of pixels along the longer side."""


class Image(Modality[ImageLimits]):
    """Still pictures; of an animation, the first frame."""

    name: ClassVar[str] = "image"
    input_name: ClassVar[str] = "pixel_values"
    endings: ClassVar[tuple[str, ...]] = ENDINGS
    feature: ClassVar[str] = "Image"
    Limits: ClassVar[type[Limits]] = ImageLimits

    def read(self, source: Source, limits: ImageLimits) -> Pillow.Image:
        """Return one decoded picture in 8-bit RGB, upright, on white where it is transparent."""
        from PIL.Image import DecompressionBombError

        damaged = decoding(source.origin, "the image is damaged or cut off", "replace the file")
        with source.open(limits) as file, damaged:
            try:
                with _quiet():
                    image = _open(file, source.origin)
                _check_size(image, limits, source.origin)
                if image.format == "JPEG":
                    _check_scans(file, source.origin)
                return _to_rgb(image, source.origin)
            except DecompressionBombError:
                reason = "more pixels than Pillow can decode; scale it down"
                raise MediaError("too-large", source.origin, reason) from None

    def convert(self, value: Any) -> Pillow.Image:
        """Return a picture of a Pillow image, or of an array of numpy or torch.

        Arrays are [height, width, channels] or [channels, height, width] of 1, 3 or 4 channels, or
        grey [height, width]; their numbers are uint8, or floats from 0 to 1.
        """
        from PIL import Image as pillow

        origin = f"image given as {type(value).__name__}"
        with decoding(origin, "the image cannot be decoded", "open it again and check it"):
            array = None if isinstance(value, list | tuple) else numpy_array(value)
            if array is not None:
                pixels = as_pixels(array, origin)
                _check_not_empty(pixels.shape[1], pixels.shape[0], origin)
                return _to_rgb(pillow.fromarray(pixels), origin)
            if isinstance(value, pillow.Image):
                _check_not_empty(*value.size, origin)
                return _to_rgb(value, origin)
        reason = f"pass a path, bytes, a Pillow image, or an array {FORMS}"
        raise MediaError("unsupported", origin, reason)

    def items(self, given: Any) -> list[Any]:
        """Return the pictures of an argument; an array of four axes holds several."""
        several = isinstance(given, list | tuple) or getattr(given, "ndim", None) == 4
        return list(given) if several else [given]


class Metered:
    """A file with a limited number of reads, as Pillow reads segments one by one in Python.

    It has no file descriptor: libtiff would map it to memory, and truncating the file during
    reading would then crash the process.
    """

    def __init__(self, file: BinaryIO, origin: str, end: int | None = None) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._file, self._origin, self._reads, self._end = file, origin, 0, end

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; raise a MediaError after too many reads."""
        self._reads += 1
        if self._reads > MOST_READS:
            raise MediaError("too-large", self._origin, "it has too many segments; save it again")
        if size < 0 and self._end is not None:
            size = max(self._end - self._file.tell(), 0)
        return self._file.read(size)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Pillow's warnings on headers; hold it briefly, as it locks all threads."""
    with WARNINGS, warnings.catch_warnings(action="ignore"):
        yield


def _silence_libtiff() -> None:
    """Keep libtiff's errors off stderr: libtiff prints them, and Pillow raises its own."""
    from PIL import _imaging

    try:
        # Pillow's own library finds libtiff, whether that is bundled or of the system.
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    except (OSError, AttributeError):  # statically linked, so not accessible
        return


def _open(file: BinaryIO, origin: str) -> Pillow.Image:
    head = file.read(32)
    file.seek(0)
    for name, pattern in PLUGINS.items():
        if pattern.match(head):
            if name == "Tiff":
                _silence_libtiff()
            plugin = import_module(f"PIL.{name}ImagePlugin")
            # Pillow reads a whole WebP file, regardless of the length in its header.
            end = int.from_bytes(head[4:8], "little") + 8 if name == "WebP" else None
            image: Pillow.Image = getattr(plugin, f"{name}ImageFile")(Metered(file, origin, end))
            return image
    known = "JPEG, PNG, WebP, GIF, BMP or TIFF"
    reason = f"not an image of a known format{looks_like(head)}; convert it to {known}"
    raise MediaError("format", origin, reason)


def _check_size(image: Pillow.Image, limits: ImageLimits, origin: str) -> None:
    tags = getattr(image, "tag_v2", {})
    tile = tags.get(TIFF_TILE_WIDTH, 1), tags.get(TIFF_TILE_LENGTH, 1)
    for width, height in (image.size, tile):  # a TIFF tile can be larger than its picture
        _check_not_empty(width, height, origin)
        pixels = width * height
        found = f"{width:,} x {height:,} pixels"
        if max(width, height) > limits.side:
            most, name = f"{limits.side:,} on a side", "image.side"
        elif pixels > limits.pixels:
            most, name = f"{limits.pixels:,} in total", "image.pixels"
        elif pixels * BYTES_PER_PIXEL > limits.decoded_bytes:
            most, name = f"{limits.decoded_bytes // BYTES_PER_PIXEL:,} in total", "decoded_bytes"
        else:
            continue
        reason = f"{found} exceed the limit of {most}; scale it down or raise `limits.{name}`"
        raise MediaError("too-large", origin, reason)


def _check_not_empty(width: int, height: int, origin: str) -> None:
    if width < 1 or height < 1:
        raise MediaError("empty", origin, f"{width} x {height} pixels; replace the image")


def _check_scans(file: BinaryIO, origin: str) -> None:
    """Raise a MediaError for a JPEG of many scans: a small file could take hours to decode."""
    found = itertools.islice(_jpeg_markers(file), MOST_SEGMENTS)
    markers = list(itertools.takewhile(lambda marker: marker != JPEG_END, found))
    file.seek(0)
    if len(markers) == MOST_SEGMENTS or markers.count(JPEG_SCAN) > MOST_SCANS:
        reason = f"a JPEG of more than {MOST_SCANS} scans takes too long to decode; save it again"
        raise MediaError("too-large", origin, reason)


def _jpeg_markers(file: BinaryIO) -> Iterator[bytes]:
    """Yield the kind of each segment in the whole file; a film may follow the picture."""
    position = start = 2
    block = b""
    while True:
        if not 0 <= position - start < len(block):
            file.seek(position)
            start, block = position, file.read(JPEG_BLOCK)
        found = JPEG_MARKER.search(block, position - start)
        if found is not None:
            yield found[1]
            size = block[found.end() : found.end() + 2]
            if len(size) < 2:  # it lies in the next block
                file.seek(start + found.end())
                size = file.read(2)
            position = start + found.end() + int.from_bytes(size, "big")
        elif len(block) == JPEG_BLOCK:
            position = start + JPEG_BLOCK - 1  # a marker may lie across two blocks
            block = b""
        else:
            return


def _to_rgb(image: Pillow.Image, origin: str) -> Pillow.Image:
    from PIL import Image as pillow

    _read_exif(image)
    image.load()  # also reads EXIF data, and warns about them if they were not read before
    turn = _turn(image)
    if image.mode.startswith("I;16"):
        rgb = _from_16_bit(image)
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        rgb = pillow.new("RGB", rgba.size, "white")
        rgb.paste(rgba, mask=rgba)
    elif image.mode in ("I", "F", "LAB"):
        # These modes have no defined range of values: Pillow would clip most to white or black.
        reason = f"pixels of type {image.mode}; save it with 8 or 16 bits a channel, grey or RGB"
        raise MediaError("format", origin, reason)
    else:
        rgb = image.convert("RGB")
    if turn is not None:
        rgb = rgb.transpose(turn)
    rgb.info = {}  # metadata (place, camera, thumbnail) are not part of the item
    return rgb


def _turn(image: Pillow.Image) -> Pillow.Transpose | None:
    """Return the turn that makes a picture upright, by its EXIF data; Pillow turns TIFFs itself."""
    from PIL.Image import Transpose

    orientation = _read_exif(image).get(0x0112, 1)
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(orientation) if isinstance(orientation, int) else None


def _read_exif(image: Pillow.Image) -> Mapping[int, Any]:
    try:
        with _quiet():
            return image.getexif()
    except Exception:  # damaged EXIF data can raise any error, and the picture does not need them
        return {}


def _from_16_bit(image: Pillow.Image) -> Pillow.Image:
    """Return grey of 12 or 16 bits scaled to 8: `convert` would clip values above 255 to white."""
    import numpy as np
    from PIL import Image as pillow

    tags = getattr(image, "tag_v2", {})
    brightest = 2 ** tags.get(TIFF_BITS, (16,))[0] - 1
    shades = np.arange(65_536).clip(0, brightest) * 255 / brightest
    if tags.get(TIFF_PHOTOMETRIC) == 0:  # white is zero, which Pillow applies to 8 bits only
        shades = 255 - shades
    table = np.rint(shades).astype(np.uint8)
    pixels = table[np.asarray(image)]  # [height, width]
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        pixels[np.asarray(image) == transparent] = 255
    return pillow.fromarray(pixels).convert("RGB")
