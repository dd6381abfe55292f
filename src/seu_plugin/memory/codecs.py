"""How a code lies in memory as k bits, and what k bits mean when read back.

``encode`` and ``decode`` work on Python ints, numpy arrays and torch tensors of a signed
integer type wide enough for the code. For every code of its grid, ``decode(encode(c)) == c``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping

from ..errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Codec:
    """A way to store codes. ``encode(code, k)`` gives a value in [0, 2**k), ``decode`` the code.

    ``lowest(k)`` and ``highest(k)`` bound the codes that can be stored. ``linear``: encoding is
    affine over GF(2), so that flipping stored bits is flipping bits of the code, as an integer.
    """

    name: str
    encode: Callable[[Any, int], Any]
    decode: Callable[[Any, int], Any]
    lowest: Callable[[int], int]
    highest: Callable[[int], int]
    linear: bool = True

    def flips(self, mask: Any, k: int) -> Any:
        """What :meth:`upset` takes for the stored bits of ``mask``; 0 only for 0."""
        return self.decode(self.encode(0, k) ^ mask, k) if self.linear else mask

    def upset(self, code: Any, flips: Any, k: int) -> Any:
        """The code that is read after the ``flips``; the same type of integers."""
        if self.linear:
            return code ^ flips
        return self.decode(self.encode(code, k) ^ flips, k)


def _half(k: int) -> int:
    return 1 << (k - 1)


def _encode_twos_complement(code: Any, k: int) -> Any:
    return code & ((1 << k) - 1)


def _decode_twos_complement(stored: Any, k: int) -> Any:
    return (stored ^ _half(k)) - _half(k)


def _encode_offset_binary(code: Any, k: int) -> Any:
    return code + _half(k)


def _decode_offset_binary(stored: Any, k: int) -> Any:
    return stored - _half(k)


def _encode_sign_magnitude(code: Any, k: int) -> Any:
    return abs(code) + (code < 0) * _half(k)


def _decode_sign_magnitude(stored: Any, k: int) -> Any:
    # The pattern 10...0 is a negative zero: it reads as 0.
    return (stored & (_half(k) - 1)) * (1 - 2 * (stored >> (k - 1)))


def _encode_gray(code: Any, k: int) -> Any:
    # Reflected binary code (Gray, US 2632058) of the offset binary value: codes that differ
    # by one differ in one stored bit.
    offset = code + _half(k)
    return offset ^ (offset >> 1)


def _decode_gray(stored: Any, k: int) -> Any:
    shift = 1
    while shift < k:
        stored = stored ^ (stored >> shift)
        shift *= 2
    return stored - _half(k)


def _unchanged(code: Any, k: int) -> Any:
    return code


def _lowest_signed(k: int) -> int:
    return -_half(k)


def _highest_signed(k: int) -> int:
    return _half(k) - 1


_ALL = (
    Codec(
        "twos_complement",
        _encode_twos_complement,
        _decode_twos_complement,
        _lowest_signed,
        _highest_signed,
    ),
    Codec(
        "offset_binary",
        _encode_offset_binary,
        _decode_offset_binary,
        _lowest_signed,
        _highest_signed,
    ),
    Codec(
        "sign_magnitude",
        _encode_sign_magnitude,
        _decode_sign_magnitude,
        lambda k: 1 - _half(k),
        _highest_signed,
        linear=False,
    ),
    Codec("gray", _encode_gray, _decode_gray, _lowest_signed, _highest_signed),
    Codec("unsigned", _unchanged, _unchanged, lambda k: 0, lambda k: (1 << k) - 1),
)

#: Words of floating point: they are no codes, and a bit of one is a bit that is stored.
IEEE754 = Codec("ieee754", _unchanged, _unchanged, _lowest_signed, _highest_signed)

CODECS: Mapping[str, Codec] = {codec.name: codec for codec in _ALL}


def codec(name: str) -> Codec:
    """The codec called ``name``. Raises ConfigError with the names there are."""
    try:
        return CODECS[name]
    except KeyError:
        raise ConfigError(
            f"encoding: allowed are {', '.join(CODECS)}; received {name!r}"
            f"{did_you_mean(str(name), CODECS)}"
        ) from None
