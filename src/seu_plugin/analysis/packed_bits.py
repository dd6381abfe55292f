"""Which images, and their scores: bits as the text that a row of ``trials.jsonl`` keeps. No torch.

An image that is right or wrong is one bit. A score between 0 and 1 is a word of 16 bits, the score
times 65,535; what a trial changed is then the exclusive or of its word and the golden run's.
"""

from __future__ import annotations

import base64
import zlib
from typing import Optional, Sequence, Union

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.bool_]
#: Of shape [images]: bits, or words of scores.
Scores = Union[Bits, npt.NDArray[np.uint16]]
#: Images that a campaign may have: what a damaged row unpacks to is no larger.
MOST_IMAGES = 1 << 28
#: The word of a score of 1.
ONE = 65535
_MARK = "u16:"  # the colon is in no text of bits
#: Values of the characters of base64.b85encode; -1: none.
_DIGITS = np.full(256, -1, dtype=np.int64)
_DIGITS[
    list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~")
] = np.arange(85)


def as_words(scores: npt.NDArray[np.float64]) -> Scores:
    """Scores in [0, 1] as bits where all are 0 or 1, or else as words, to the nearest 1/65535."""
    if np.isin(scores, (0.0, 1.0)).all():
        return np.asarray(scores == 1.0)
    return np.rint(scores * ONE).astype(np.uint16)


def as_scores(words: Scores) -> npt.NDArray[np.float64]:
    """The inverse, in 0 ... 1."""
    return words / (1.0 if words.dtype == np.bool_ else float(ONE))


def changed(golden: Scores, trial: Scores) -> Scores:
    """What a trial's scores are other than the golden run's in; :func:`faulted` is the inverse."""
    if golden.dtype != trial.dtype:
        golden, trial = _words(golden), _words(trial)
    return np.asarray(golden ^ trial)


def faulted(golden: Scores, changed: Scores) -> Scores:
    """A trial's scores."""
    words = changed.dtype != np.bool_ or not changed.any()
    if not words and golden.dtype != np.bool_:
        raise ValueError("is of images that are right or wrong, unlike the golden run")
    return np.asarray((_words(golden) if changed.dtype != np.bool_ else golden) ^ changed)


def _words(scores: Scores) -> Scores:
    return np.where(scores, np.uint16(ONE), np.uint16(0)) if scores.dtype == np.bool_ else scores


def packed(words: Scores) -> str:
    """As text, at most about 1.25 bits for each bit; none set: the empty string."""
    if not words.any():
        return ""
    if words.dtype == np.bool_:
        return _text(np.packbits(words).tobytes())
    return _MARK + _text(words.astype("<u2").tobytes())


def unpacked(text: str, images: int) -> Scores:
    """The inverse; of shape [images]. Raises ValueError for a text that is not of so many."""
    if not text:
        return np.zeros(images, dtype=np.bool_)
    size = 2 * images if text.startswith(_MARK) else -(-images // 8)
    data = plain_bytes(text, size)
    if len(data) != size:
        raise ValueError(f"is not of {images} images")
    if text.startswith(_MARK):
        return np.frombuffer(data, dtype="<u2").astype(np.uint16)
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8))[:images].astype(np.bool_)


def unpacked_bits(texts: Sequence[str], images: int) -> Optional[Bits]:
    """Texts of bits at once, of shape [texts, images]; None: one of them is of words, or damaged,
    and :func:`unpacked` says which."""
    kept = [text for text in texts if text]
    size = -(-images // 8)
    padded = "".join(text.ljust(-(-len(text) // 5) * 5, "~") for text in kept)
    try:
        digits = _DIGITS[np.frombuffer(padded.encode("ascii"), dtype=np.uint8)].reshape(-1, 5)
        values = digits @ np.array([85**4, 85**3, 85**2, 85, 1], dtype=np.int64)
        if (digits < 0).any() or (values >> 32).any():
            return None
        data, start, parts = values.astype(">u4").tobytes(), 0, []
        for text in kept:
            end = start + len(text) * 4 // 5
            parts.append(zlib.decompressobj().decompress(data[start:end], size + 1))
            start += -(-len(text) // 5) * 4
    except (UnicodeEncodeError, zlib.error):
        return None
    if {*map(len, parts)} - {size}:
        return None
    found = np.zeros((len(texts), images), dtype=np.bool_)
    rows = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(parts), size)
    found[[bool(text) for text in texts]] = np.unpackbits(rows, axis=1)[:, :images]
    return found


def plain_bytes(text: str, most: int = 2 * MOST_IMAGES) -> bytes:
    """What :func:`packed` compressed, or the first ``most`` + 1 bytes of it. Raises ValueError for
    a damaged text."""
    text = text[len(_MARK) :] if text.startswith(_MARK) else text
    try:
        return zlib.decompressobj().decompress(base64.b85decode(text), most + 1)
    except zlib.error as error:
        raise ValueError(f"is damaged ({error})") from None


def _text(data: bytes) -> str:
    return base64.b85encode(zlib.compress(data, 9)).decode()
