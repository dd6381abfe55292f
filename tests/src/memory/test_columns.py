"""Orders of SECDED columns: one code for single upsets, another for neighbours."""

from itertools import combinations

import numpy as np
import pytest

from seu_plugin.errors import ConfigError
from seu_plugin.faults.seeding import Stream, Streams
from seu_plugin.faults.site_memory import SiteMemory
from seu_plugin.memory.columns import ORDERS, of_neighbours
from seu_plugin.memory.ecc import SECDED, code_of
from seu_plugin.settings.section import parse_section

EVERY = [(scheme, order) for scheme in SECDED for order in ORDERS]
every = pytest.mark.parametrize(("scheme", "order"), EVERY)


def decoded(code, several):
    """What is left of upsets of these data bits, a row for each word."""
    data = np.zeros(len(several), dtype=np.uint64)
    for i, bits in enumerate(several):
        data[i] = sum(1 << bit for bit in bits)
    return data, code.decode(data, np.zeros(len(several), dtype=np.int32))


@every
def test_an_order_changes_no_column(scheme, order):
    code = code_of(scheme, 32, order)
    assert sorted(code.columns) == sorted(SECDED[scheme].columns)


@every
def test_singles_are_corrected_and_doubles_detected_in_every_order(scheme, order):
    code = code_of(scheme, 32, order)
    _, found = decoded(code, [(bit,) for bit in range(code.data_bits)])
    assert not found.data.any() and found.corrected.all()
    _, found = decoded(code, list(combinations(range(code.data_bits), 2)))
    assert found.detected.all()


@every
def test_neighbours_do_what_is_said_of_them(scheme, order):
    """Every triple and quad of neighbours, decoded."""
    code = code_of(scheme, 32, order)
    n = code.data_bits
    triples, quads = of_neighbours(code.columns, code.check_bits)
    _, found = decoded(code, [(i, i + 1, i + 2) for i in range(n - 2)])
    assert int(found.corrected.sum()) == triples  # three upsets cannot be put right
    upset, found = decoded(code, [(i, i + 1, i + 2, i + 3) for i in range(n - 3)])
    assert int((~found.detected & (found.data == upset)).sum()) == quads


@pytest.mark.parametrize(
    ("scheme", "lexicographic", "burst"),
    [("secded_72_64", (27, 5), (0, 0)), ("secded_39_32", (14, 5), (2, 0))],
)
def test_how_many_neighbours_each_order_leaves(scheme, lexicographic, burst):
    code = SECDED[scheme]
    assert of_neighbours(code.columns, code.check_bits) == lexicographic
    assert of_neighbours(code_of(scheme, 64, "burst").columns, code.check_bits) == burst


def rule(**changed):
    section = {"ber": 1e-3, "protection": {"scheme": "secded_39_32", **changed}}
    return parse_section(section)


def test_clusters_see_the_order():
    """Quads along a row: with the order for bursts, none goes unseen."""
    left = {}
    for order in ORDERS:
        section = parse_section(
            {
                "ber": 4e-3,
                "mode": "mbu",
                "mbu": {"sizes": {4: 1.0}},
                "protection": {"scheme": "secded_39_32", "columns": order},
            }
        )
        memory = SiteMemory("fc", 40_000, 8, section)
        read = memory.draw(4e-3, Stream(1, "fc"), Streams(1, "fc"))
        left[order] = read.map.index.size
    assert left["burst"] < left["lexicographic"] / 2


def test_columns_of_ones_own_are_taken():
    own = list(SECDED["secded_39_32"].columns[::-1])
    assert rule(columns=own).protection[0].code.columns == tuple(own)


def test_what_was_written_before_there_was_a_choice_stays_as_it_was():
    (plain,), (other,) = rule().protection, rule(columns="burst").protection
    assert "columns" not in plain.model_dump() and other.model_dump()["columns"] == "burst"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("busrt", "columns: must be lexicographic, burst, .*'busrt'; did you mean 'burst'"),
        ([1.5], "columns: must be lexicographic, .* a list of integers, .*1.5"),
        (3, "columns: must be lexicographic, .*received 3"),
        ([7, 11], "must be 32 distinct columns; received 2"),
        ([7] * 32, "of which 1 are distinct"),
        ([*SECDED["secded_39_32"].columns[:31], 3], "odd number of ones; one is 3"),
        ([*SECDED["secded_39_32"].columns[:31], 1 << 9], "of 7 bits"),
        ([*SECDED["secded_39_32"].columns[:31], 4], "that of a check bit"),
    ],
)
def test_what_is_no_code_is_an_error(columns, message):
    with pytest.raises(ConfigError, match=message):
        rule(columns=columns)


def test_columns_are_of_secded():
    with pytest.raises(ConfigError, match="columns is for SECDED; received scheme tmr"):
        rule(scheme="tmr", columns="burst")
