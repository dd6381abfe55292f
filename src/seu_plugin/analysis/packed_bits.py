"""Which images: bits as the text that a row of ``trials.jsonl`` keeps. No torch."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.bool_]
#: Images that a campaign may have: what a damaged row unpacks to is no larger.
MOST_IMAGES = 1 << 28


def packed(bits: Bits) -> str:
    """Bits as text, at most about 1.25 bits for each; none set: the empty string."""
    if not bits.any():
        return ""
    return base64.b85encode(zlib.compress(np.packbits(bits).tobytes(), 9)).decode()


def unpacked(text: str, images: int) -> Bits:
    """The inverse; bool of shape [images]. Raises ValueError for a text that is not of so many."""
    if not text:
        return np.zeros(images, dtype=np.bool_)
    size = -(-images // 8)
    data = plain_bytes(text, size)
    if len(data) != size:
        raise ValueError(f"is not of {images} images")
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8))[:images].astype(np.bool_)


def plain_bytes(text: str, most: int = MOST_IMAGES // 8) -> bytes:
    """What :func:`packed` compressed, or the first ``most`` + 1 bytes of it. Raises ValueError for
    a damaged text."""
    try:
        return zlib.decompressobj().decompress(base64.b85decode(text), most + 1)
    except zlib.error as error:
        raise ValueError(f"is damaged ({error})") from None
