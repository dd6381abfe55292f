"""Stream v1 is frozen: these vectors must never change, on any platform or version.

A change here means that published fault maps can no longer be drawn again. Make a stream v2.
"""

import hashlib

import pytest

from seu_plugin.faults.fault_map import draw_fault_map
from seu_plugin.faults.placing import place
from seu_plugin.faults.seeding import Stream, Streams
from seu_plugin.faults.site_memory import SiteMemory
from seu_plugin.settings.section import parse_settings

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


# Other fault models and protection, for 9408 words of 5 bits of conv1 at BER 0.01 (seed 42, trial
# 3, exposure draw 1): words hit, the first three, their bits up and down, SHA-256 as above.
MODELS = {
    "stuck_at": (
        {"mode": "stuck_at"},
        (456, [11, 59, 83], [8, 0, 8], [0, 2, 0], "946d27fe09d4e907"),
    ),
    "asymmetric": (
        {"mode": "asymmetric", "asymmetric": {"zero_to_one": 1.0, "one_to_zero": 0.25}},
        (599, [0, 11, 28], [1, 1, 0], [0, 0, 8], "edb2156d05d473fe"),
    ),
    "mbu in rows": (
        {"mode": "mbu", "mbu": {"sizes": {1: 0.6, 2: 0.3, 4: 0.1}}},
        (348, [0, 38, 108], [15, 4, 16], [15, 4, 16], "56fae8983f2329b5"),
    ),
    "mbu in blocks": (
        {
            "mode": "mbu",
            "mbu": {"sizes": {3: 0.5, 4: 0.5}, "shape": "block"},
            "memory": {"interleaving": 4},
        },
        (518, [28, 35, 80], [16, 2, 2], [16, 2, 2], "df0493cd6dca4181"),
    ),
    "secded": (
        {"protection": {"scheme": "secded_39_32", "on_detected": "keep"}},
        (132, [83, 164, 213], [8, 1, 16], [8, 1, 16], "6fbe91cff7c59eb2"),
    ),
    "tmr": (
        {"protection": {"scheme": "tmr"}},
        (17, [94, 250, 305], [1, 16, 4], [1, 16, 4], "67960ccd3b2e9d97"),
    ),
}


EXACT_COUNT = {"conv1": ([969, 2218, 5098, 8899], [64, 128, 1, 4]), "fc": ([2230], [16])}


@pytest.mark.parametrize("name", MODELS)
def test_other_fault_models_and_protection(name):
    given, expected = MODELS[name]
    memory = SiteMemory("conv1", 9408, 5, parse_settings({"ber": 0.01, **given}))
    at = (42, "conv1", 3, 1)
    found = memory.draw(0.01, Stream(*at), Streams(*at)).map
    up, down = (found.mask,) * 2 if hasattr(found, "mask") else (found.up, found.down)
    arrays = (found.index.astype("<i8"), up.astype("<i4"), down.astype("<i4"))
    digest = hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:16]
    first = (found.index[:3].tolist(), up[:3].tolist(), down[:3].tolist())
    assert (found.index.size, *first, digest) == expected


def test_an_exact_count():
    memory = {"conv1": (9408, range(8)), "fc": (5120, range(8)), "a": (700, [2])}
    maps = place(memory, 5, "stratum *#*", 42, 3)
    found = {name: (m.index.tolist(), m.mask.tolist()) for name, m in maps.items()}
    assert found == EXACT_COUNT


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
