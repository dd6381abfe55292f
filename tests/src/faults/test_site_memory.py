"""What is read of a site's memory, against a model of the memory bit by bit."""

import math

import numpy as np
import pytest

from seu_plugin.errors import ConfigError
from seu_plugin.faults.fault_map import FaultMap
from seu_plugin.faults.mechanisms import Clusters
from seu_plugin.faults.seeding import Stream, Streams
from seu_plugin.faults.site_memory import SiteMemory
from seu_plugin.fields import selected_bits
from seu_plugin.memory.codecs import codec
from seu_plugin.settings.section import parse_settings

CODES, WIDTH = 150, 5


def settings_of(**given):
    return parse_settings({"ber": 0.02, "seed": 3, **given})


def draw(settings, trial=0, codes=CODES, width=WIDTH, ber=None):
    memory = SiteMemory("layer", codes, width, settings)
    at = (3, "layer", trial)
    return memory, memory.draw(settings.ber if ber is None else ber, Stream(*at), Streams(*at))


def stored_codes(settings, codes=CODES, width=WIDTH):
    values = np.random.default_rng(0).integers(1 - (1 << width - 1), (1 << width - 1) - 1, codes)
    return codec(settings.encoding).encode(values.astype(np.int32), width)


def what_is_read(settings, trial=0):
    """Stored words, and the words read back."""
    _, found = draw(settings, trial)
    stored = stored_codes(settings)
    after = stored.copy()
    after[found.map.index] ^= flips_of(found, stored)
    return stored, after, found


def flips_of(found, stored):
    if isinstance(found.map, FaultMap):
        return found.map.mask
    here = stored[found.map.index]
    return found.map.read(here).flips if hasattr(found.map, "read") else found.map.flips(here)


def cells(settings, purpose, words, width, trial):
    """What happens to each bit of ``words`` words: (up, down), bool of shape [words, width]."""
    model = SiteMemory("layer", CODES, WIDTH, settings).model
    drawn, _ = model.draw(Streams(3, "layer", trial), purpose, words, width, settings.ber)
    both = np.zeros((2, words, width), dtype=bool)
    for masks, where in ((drawn.up, both[0]), (drawn.down, both[1])):
        where[drawn.index] = masks[:, None] >> np.arange(width) & 1
    return both


def struck(held, updown):
    up, down = updown
    return np.where(held, held & ~down, up)


def oracle(settings, trial):
    """The words read back, from a memory that is written and read bit by bit."""
    stored = stored_codes(settings)
    held = (stored[:, None] >> np.arange(WIDTH) & 1).astype(bool)
    rule = settings.protection[0]
    guarded = [b for b in range(WIDTH) if selected_bits(rule.bits, WIDTH) >> b & 1]
    memory = SiteMemory("layer", CODES, WIDTH, settings)
    read = struck(held, cells(settings, "", CODES, WIDTH, trial))
    if rule.scheme == "tmr":
        votes = read.astype(int)
        for copy in ("copy 1", "copy 2"):
            votes = votes + struck(held, cells(settings, copy, CODES, WIDTH, trial))
        read[:, guarded] = (votes >= 2)[:, guarded]
        return read @ (1 << np.arange(WIDTH))
    code, block = rule.code, memory.blocks[0]
    check_cells = cells(settings, "check bits", block.packing.words, code.check_bits, trial)
    for word in range(block.packing.words):
        places = [
            tuple(int(x) for x in block.packing.find(np.int64(word), np.int64(b)))
            for b in range(code.data_bits)
        ]
        data = [(b, c, guarded[s]) for b, (c, s) in enumerate(places) if c >= 0]
        written = np.zeros(code.data_bits, dtype=bool)
        now = np.zeros(code.data_bits, dtype=bool)
        for b, c, position in data:
            written[b], now[b] = held[c, position], read[c, position]
        parity = 0
        for b in np.flatnonzero(written):
            parity ^= code.columns[b]
        checks = (parity >> np.arange(code.check_bits) & 1).astype(bool)
        checks = struck(checks[None], check_cells[:, word : word + 1])[0]
        syndrome = int(checks @ (1 << np.arange(code.check_bits)))
        for b in np.flatnonzero(now):
            syndrome ^= code.columns[b]
        correctable = [*code.columns, *(1 << i for i in range(code.check_bits))]
        if syndrome and code.corrects and syndrome in correctable:
            bit = correctable.index(syndrome)
            if bit < code.data_bits:
                now[bit] ^= True
        elif syndrome:
            if rule.on_detected == "reload":
                now = written.copy()
            elif rule.on_detected == "zero":
                zero = codec(settings.encoding).encode(0, WIDTH)
                for _, c, _ in data:
                    read[c] = zero >> np.arange(WIDTH) & 1
                continue
        for b, c, position in data:
            read[c, position] = now[b]
    return read @ (1 << np.arange(WIDTH))


MODES = {
    "ber": {},
    "stuck_at": {"mode": "stuck_at"},
    "asymmetric": {"mode": "asymmetric", "asymmetric": {"zero_to_one": 1, "one_to_zero": 0.2}},
}
GUARDS = {
    "secded_39_32": {"scheme": "secded_39_32"},
    "secded_72_64 keep": {"scheme": "secded_72_64", "on_detected": "keep"},
    "secded of two bits": {"scheme": "secded_39_32", "bits": [1, 4]},
    "parity": {"scheme": "parity", "data_bits": 16},
    "parity keep": {"scheme": "parity", "data_bits": 8, "on_detected": "keep"},
    "tmr": {"scheme": "tmr"},
    "tmr of the msb": {"scheme": "tmr", "bits": "msb"},
}


@pytest.mark.parametrize("packing", ["tight", "aligned"])
@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_read_is_what_a_memory_would_give(mode, guard, packing):
    settings = settings_of(
        **MODES[mode], protection=GUARDS[guard], memory={"packing": packing}, encoding="gray"
    )
    some = False
    for trial in range(6):
        _, after, found = what_is_read(settings, trial)
        assert np.array_equal(after, oracle(settings, trial))
        some = some or bool(found.map.index.size)
    assert some


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scheme", ["parity", "secded_39_32"])
def test_a_word_given_up_reads_as_weight_zero(mode, scheme):
    guard = {"scheme": scheme, "on_detected": "zero"}
    settings = settings_of(
        **MODES[mode], protection=guard, memory={"packing": "aligned"}, encoding="offset_binary"
    )
    for trial in range(4):
        _, after, _ = what_is_read(settings, trial)
        assert np.array_equal(after, oracle(settings, trial))


@pytest.mark.parametrize("guard", ["secded_39_32", "tmr", "parity"])
def test_upsets_of_data_are_those_without_protection(guard):
    """Paired draws: protection adds cells, it does not draw the others anew."""
    plain = draw(settings_of())[1].map
    keep = {} if guard == "tmr" else {"on_detected": "keep"}
    kept = draw(settings_of(protection={**GUARDS[guard], **keep}))[1]
    assert kept.upsets == plain.upsets + sum(one.struck for one in kept.drawn[1:])
    assert set(kept.map.index[np.isin(kept.map.index, plain.index)]) <= set(plain.index)


def test_one_upset_in_a_word_costs_nothing_under_secded():
    memory = SiteMemory("layer", CODES, WIDTH, settings_of(protection={"scheme": "secded_72_64"}))
    one = FaultMap(np.array([17]), np.array([8], dtype=np.int32), 1)
    found = memory.read(one)
    assert found.harmless and (found.upsets, found.corrected) == (1, 1)


@pytest.mark.parametrize(("scheme", "n"), [("secded_72_64", 72), ("secded_39_32", 39)])
def test_residual_word_failures_follow_the_binomial(scheme, n):
    """Through the whole path, check-bit faults included: words corrected and detected."""
    ber, corrected, detected, words = 5e-3, 0, 0, 0
    settings = settings_of(protection={"scheme": scheme}, ber=ber)
    for trial in range(200):
        memory, found = draw(settings, trial, codes=6400, width=5)
        words += memory.blocks[0].packing.words
        corrected, detected = corrected + found.corrected, detected + found.detected
    p = [math.comb(n, k) * ber**k * (1 - ber) ** (n - k) for k in range(4)]
    z = (corrected - words * p[1]) / math.sqrt(words * p[1] * (1 - p[1]))
    assert abs(z) < 4
    # All doubles are detected; of more upsets, some.
    assert words * p[2] - 4 * math.sqrt(words * p[2]) < detected
    assert detected < words * (1 - p[0] - p[1]) + 4 * math.sqrt(words * p[2])


@pytest.mark.parametrize(("degree", "given_up"), [(1, True), (4, False)])
def test_interleaving_lets_secded_correct_what_one_particle_upsets(degree, given_up):
    settings = settings_of(
        mode="mbu",
        mbu={"sizes": {2: 1.0}},
        ber=1e-4,
        protection={"scheme": "secded_39_32"},
        memory={"row_words": 32, "interleaving": degree},
    )
    found = [draw(settings, trial, codes=4000)[1] for trial in range(40)]
    assert (sum(one.detected for one in found) > 20) == given_up
    assert (sum(one.corrected for one in found) > 40) != given_up


@pytest.mark.parametrize("scheme", ["none", "secded_39_32", "tmr", "parity"])
def test_clusters_strike_every_stored_cell(scheme):
    settings = settings_of(mode="mbu", mbu={"sizes": {1: 1.0}}, protection={"scheme": scheme})
    memory, _ = draw(settings)
    stored = sum(block.packing.codes * len(block.packing.positions) for block in memory.blocks)
    struck_cells = 0
    for block in memory.blocks:
        streams = Streams(3, "layer", 0)
        assert isinstance(memory.model, Clusters)
        every = block.cells(memory.model, streams, 1.0)
        struck_cells += int(sum(bin(m).count("1") for m in every.data.up.tolist()))
        if block.code is not None:
            checks = sum(bin(m).count("1") for m in every.check.up.tolist())
            assert checks == block.packing.words * block.code.check_bits
    assert struck_cells == stored


def test_a_cluster_longer_than_a_row_is_an_error():
    memory = {"word_bits": 8, "row_words": 1}
    settings = settings_of(mode="mbu", mbu={"sizes": {9: 1.0}}, memory=memory)
    with pytest.raises(ConfigError, match=r"mbu\.sizes: a cluster of 9 cells \(row\) is longer"):
        SiteMemory("layer", CODES, WIDTH, settings)


def test_codes_larger_than_an_aligned_word_are_an_error():
    memory = {"word_bits": 4, "packing": "aligned"}
    settings = settings_of(mode="mbu", mbu={"sizes": {1: 1.0}}, memory=memory)
    with pytest.raises(ConfigError, match="codes of 5 bits to fit into memory words of 4"):
        SiteMemory("layer", CODES, WIDTH, settings)


@pytest.mark.parametrize(
    ("guard", "extra"),
    [
        ({"scheme": "secded_72_64"}, 12 * 8),  # 750 bits in 12 words
        ({"scheme": "secded_39_32"}, 24 * 7),
        ({"scheme": "parity", "data_bits": 8}, 94),
        ({"scheme": "tmr"}, 1500),
        ({"scheme": "tmr", "bits": "msb"}, 300),
        ({"scheme": "none"}, 0),
    ],
)
def test_protection_costs_bits(guard, extra):
    assert draw(settings_of(protection=guard))[0].extra_bits == extra


def test_the_first_rule_that_names_the_site_holds():
    rules = [{"scheme": "tmr", "layers": {"include": ["other"]}}, {"scheme": "parity"}]
    assert draw(settings_of(protection=rules))[0].rule.scheme == "parity"
