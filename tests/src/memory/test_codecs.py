"""Every code survives storage; flips mean what the memory then holds."""

import numpy as np
import pytest
import torch

from seu_plugin.errors import ConfigError
from seu_plugin.memory.codecs import CODECS, codec

WIDTHS = range(2, 9)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("make", [np.array, lambda c: torch.tensor(c, dtype=torch.int32)])
def test_round_trip_over_every_code(name, width, make):
    c = codec(name)
    codes = list(range(c.lowest(width), c.highest(width) + 1))
    stored = c.encode(make(codes), width)
    assert int(stored.min()) >= 0 and int(stored.max()) < 1 << width
    assert len(set(stored.tolist())) == len(codes)
    assert c.decode(stored, width).tolist() == codes


@pytest.mark.parametrize("name", CODECS)
def test_every_pattern_reads_as_a_code(name):
    c = codec(name)
    read = [c.decode(pattern, 4) for pattern in range(16)]
    assert all(c.lowest(4) <= code <= c.highest(4) for code in read)


def test_sign_bit_of_twos_complement_is_worth_half_the_range():
    c = codec("twos_complement")
    assert c.decode(c.encode(3, 4) ^ 0b1000, 4) == 3 - 8


def test_offset_binary_flip_equals_twos_complement_flip():
    two, offset = codec("twos_complement"), codec("offset_binary")
    for code in range(-8, 8):
        for bit in range(4):
            one = two.decode(two.encode(code, 4) ^ 1 << bit, 4)
            other = offset.decode(offset.encode(code, 4) ^ 1 << bit, 4)
            assert one == other


def test_negative_zero_reads_as_zero():
    assert codec("sign_magnitude").decode(0b1000, 4) == 0


def test_gray_neighbours_differ_in_one_bit():
    c = codec("gray")
    patterns = [c.encode(code, 5) for code in range(-16, 16)]
    assert all(bin(a ^ b).count("1") == 1 for a, b in zip(patterns, patterns[1:]))


def test_unknown_name_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'gray'"):
        codec("grey")
