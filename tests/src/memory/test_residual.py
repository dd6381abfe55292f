"""Residual rates: the closed form against enumeration, simulation and the whole path."""

import math
from itertools import combinations

import numpy as np
import pytest

from seu_plugin.faults.seeding import Stream, Streams
from seu_plugin.faults.site_memory import SiteMemory
from seu_plugin.memory.ecc import SECDED, Code, parity
from seu_plugin.memory.residual import residual, residual_ber, voted
from seu_plugin.settings.section import parse_settings

SMALL = Code("small", 4, 4, (0b0111, 0b1011, 0b1101, 0b1110), corrects=True)


def enumerated(code, ber, on_detected):
    """Wrong data bits a bit, over every pattern of upsets."""
    wrong = 0.0
    for upsets in range(code.cells + 1):
        for chosen in combinations(range(code.cells), upsets):
            data = sum(1 << c for c in chosen if c < code.data_bits)
            check = sum(1 << c - code.data_bits for c in chosen if c >= code.data_bits)
            found = code.decode(np.array([data], np.uint64), np.array([check], np.int32))
            if found.detected[0] and on_detected == "reload":
                continue
            weight = ber**upsets * (1 - ber) ** (code.cells - upsets)
            wrong += weight * bin(int(found.data[0])).count("1")
    return wrong / code.data_bits


@pytest.mark.parametrize("on_detected", ["reload", "keep"])
@pytest.mark.parametrize("ber", [1e-3, 0.1, 0.4])
@pytest.mark.parametrize("code", [SMALL, parity(6)], ids=["secded", "parity"])
def test_closed_form_against_every_pattern(code, ber, on_detected):
    expected = enumerated(code, ber, on_detected)
    assert residual(code, ber, on_detected).ber == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", SECDED)
def test_at_low_rates_doubles_are_what_is_left(name):
    code, p = SECDED[name], 1e-7
    pairs = math.comb(code.cells, 2) * p * p
    found = residual(code, p, "keep")
    assert found.detected == pytest.approx(pairs, rel=1e-4)
    assert found.corrected == pytest.approx(code.cells * p, rel=1e-4)
    assert found.ber == pytest.approx(pairs * 2 / code.cells, rel=1e-4)


@pytest.mark.parametrize("name", SECDED)
@pytest.mark.parametrize("p", [1e-7, 3.6e-10, 1e-12])
def test_the_smallest_rates_keep_their_digits(name, p):
    """With reload, miscorrected triples are what is left: counted one by one."""
    code = SECDED[name]
    columns = np.array([*code.columns, *(1 << i for i in range(code.check_bits))])
    known = {int(column): i for i, column in enumerate(columns)}
    left = 0
    for a, b, c in combinations(range(code.cells), 3):
        bit = known.get(int(columns[a] ^ columns[b] ^ columns[c]))
        if bit is not None:
            left += sum(cell < code.data_bits for cell in (a, b, c, bit))
    triples = left * p**3 / code.data_bits
    assert residual(code, p, "reload").ber == pytest.approx(triples, rel=1e-4)


@pytest.mark.parametrize("on_detected", ["reload", "keep"])
@pytest.mark.parametrize("scheme", [*SECDED, "parity", "tmr"])
@pytest.mark.parametrize("ber", [3e-3, 3e-2])
def test_sites_are_read_at_the_predicted_rate(scheme, on_detected, ber):
    rule = {"scheme": scheme, **({} if scheme == "tmr" else {"on_detected": on_detected})}
    settings = parse_settings({"ber": ber, "protection": rule})
    memory = SiteMemory("layer", 12_800, 5, settings)
    code = memory.rule.code
    counts = []
    for trial in range(100):
        found = memory.draw(ber, Stream(1, "layer", trial), Streams(1, "layer", trial))
        counts.append(found.map.upsets)
    mean, error = np.mean(counts), np.std(counts, ddof=1) / 10
    predicted = residual_ber(code, scheme, ber, on_detected) * 64_000
    assert abs(mean - predicted) < 4 * error + 1e-9


def test_a_vote_is_wrong_if_two_copies_are():
    assert voted(0.1) == pytest.approx(3 * 0.01 * 0.9 + 0.001)
    assert residual_ber(None, "none", 0.2, "reload") == 0.2
