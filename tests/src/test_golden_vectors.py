"""Stream v1 is frozen: these vectors must never change, on any platform or version.

A change here means that published fault maps can no longer be drawn again. Make a stream v2.
"""

import hashlib

import pytest

from seu_plugin.fault_map import draw_fault_map
from seu_plugin.seeding import Stream

RAW = {
    (42, "conv1", 0, 0): (0x30FFFE6F04A6C2D, 0x51B101F7C857A8BA, 0x448CC8DBAF6AE940),
    (2**64 - 1, "fc", 3, 5): (0xA0957B32E0CFFFA, 0xA4133EC0101F38E, 0xF60EDF6E6D9FFF55),
}

# (seed, site, trial, exposure draw, words, width, BER): upsets, first words hit, their masks,
# SHA-256 (16 digits) of all indices as little-endian int64, then all masks as int32.
MAPS = {
    (42, "conv1", 0, 0, 9408, 8, 1e-3): (
        56, [285, 301, 393, 551], [128, 128, 4, 64], "610ce47c677c7f50",
    ),
    (42, "conv1", 0, 0, 9408, 8, 1e-4): (2, [2519, 3002], [2, 2], "768d7a2f1358d8aa"),
    (42, "layer1.0.conv1", 0, 0, 36864, 3, 1e-5): (1, [18013], [2], "f47051021c6e984c"),
    (42, "fc", 7, 0, 5120, 8, 1e-4): (2, [1016, 2439], [32, 1], "99853c8f62b07141"),
    (42, "fc", 7, 9, 5120, 8, 1e-4): (
        4, [27, 651, 4564, 5046], [64, 64, 1, 128], "50cc6bae60b73f80",
    ),
    (0, "a", 0, 0, 50000, 4, 0.3): (59729, [0, 1, 3, 4], [8, 1, 14, 3], "225dfa30d48c6a3c"),
    (1, "a", 0, 0, 12345, 5, 0.02): (1232, [22, 32, 43, 49], [16, 2, 8, 2], "1822bc67624214e5"),
    (2**63, "x", 1, 2**32, 1000000, 6, 1e-6): (
        6, [12066, 84277, 101466, 237375], [16, 8, 32, 2], "0268cdf12e8f73ac",
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", RAW, ids=str)
def test_raw_words(key):
    assert tuple(int(w) for w in Stream(*key).words(3)) == RAW[key]


@pytest.mark.parametrize("key", MAPS, ids=str)
def test_fault_maps(key):
    seed, site, trial, draw, words, width, ber = key
    drawn = draw_fault_map(Stream(seed, site, trial, draw), words, width, ber)
    data = drawn.index.astype("<i8").tobytes() + drawn.mask.astype("<i4").tobytes()
    digest = hashlib.sha256(data).hexdigest()[:16]
    found = (drawn.upsets, drawn.index[:4].tolist(), drawn.mask[:4].tolist(), digest)
    assert found == MAPS[key]
