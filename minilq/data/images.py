"""One picture in a JPEG or PNG file, decoded to an array."""

import io

import numpy as np
from numpy.typing import NDArray

from minilq.data.exif import orientation_of, upright
from minilq.errors import DataError

_JPEG_MAGIC, _PNG_MAGIC = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def decode(raw: bytes | bytearray, where: str) -> NDArray[np.uint8]:
    """The picture in `raw`, uint8 (H, W, 3): grey is repeated for red, green and blue, transparency left out.

    A JPEG is turned and mirrored as its Exif orientation says; the other Exif data are not read.

    Which of the two formats it is, is told by its first bytes, not by its name; others are refused, since their
    decoders do much more than decode. `where` names the file in errors. Raises DataError if the picture is
    damaged or of another format.
    """
    if not raw.startswith((_JPEG_MAGIC, _PNG_MAGIC)):
        begin = f"a file that begins with {raw[:4].hex(' ')}" if raw else "an empty file"
        raise DataError(where, "a JPEG or PNG picture was expected", got=begin)
    from matplotlib.image import imread  # Here, so that nothing else has to wait for it.

    try:
        pixels = np.asarray(imread(io.BytesIO(raw), format="png" if raw.startswith(_PNG_MAGIC) else "jpeg"))
    except Exception as error:  # Decoders raise errors of every kind on damaged bytes.
        raise DataError(where, "the picture is damaged", got=str(error) or type(error).__name__) from error
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels * 255).astype(np.uint8)  # PNG comes as 0..1.
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = pixels[..., :3]
    return pixels if raw.startswith(_PNG_MAGIC) else upright(pixels, orientation_of(raw))
