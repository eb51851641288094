"""One picture in a JPEG or PNG file, decoded to an array."""

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minilq.data.exif import orientation_of, upright
from minilq.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_JPEG_MAGIC, _PNG_MAGIC = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Above most cameras, and not more than 300 MB when decoded: a hundred bytes can claim any size.
MOST_PIXELS, LONGEST_SIDE = 2**25, 2**14


def decode(raw: bytes | bytearray, where: str) -> NDArray[np.uint8]:
    """The picture in `raw`, uint8 (H, W, 3): grey is repeated for red, green and blue, transparency left out.

    A JPEG is turned and mirrored as its Exif orientation says; the other Exif data are not read.

    Which of the two formats it is, is told by its first bytes, not by its name; others are refused, since their
    decoders do much more than decode. `where` names the file in errors. Raises DataError if the picture is
    damaged, of another format, or by its header larger than MOST_PIXELS or LONGEST_SIDE.
    """
    if not raw.startswith((_JPEG_MAGIC, _PNG_MAGIC)):
        begin = f"a file that begins with {raw[:4].hex(' ')}" if raw else "an empty file"
        raise DataError(where, "a JPEG or PNG picture was expected", got=begin)
    # Here, so that nothing else has to wait for it.
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    png = raw.startswith(_PNG_MAGIC)
    try:
        with (PngImageFile if png else JpegImageFile)(io.BytesIO(raw)) as picture:
            width, height = picture.size                 # from the header; decoding comes later
            if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
                raise DataError(where, f"a picture of at most {MOST_PIXELS:,} pixels, and {LONGEST_SIDE:,} a side, "
                                "was expected", got=f"{width:,} x {height:,}", cause="Make it smaller, or leave it out")
            pixels = _decoded(picture)
    except DataError:
        raise
    except Exception as error:  # Decoders raise errors of every kind on damaged bytes.
        raise DataError(where, "the picture is damaged", got=str(error) or type(error).__name__) from error
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = pixels[..., :3]
    return pixels if png else upright(pixels, orientation_of(raw))


def _decoded(picture: "Image") -> NDArray[np.uint8]:
    """The pixels, (H, W) or with 3 or 4 numbers each."""
    if picture.mode.startswith("I"):                     # grey of 16 bits
        return ((np.asarray(picture).astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.asarray(picture if picture.mode in ("L", "RGB", "RGBA") else picture.convert("RGBA"))
