"""Codes and their decoder, over all error patterns and against the binomial closed form."""

import math
from itertools import combinations

import numpy as np
import pytest

from seu_plugin.memory.ecc import SECDED, code_of, parity
from seu_plugin.memory.residual import residual
from seu_plugin.memory.schemes import SCHEMES


def patterns(code, upsets):
    """Every set of ``upsets`` cells of a code word, as data and check masks."""
    chosen = np.array(list(combinations(range(code.cells), upsets)), dtype=np.int64)
    data, check = np.zeros(len(chosen), np.uint64), np.zeros(len(chosen), np.int32)
    for column in chosen.T:
        in_data = column < code.data_bits
        bit = np.where(in_data, column, 0).astype(np.uint64)
        data |= np.where(in_data, np.uint64(1) << bit, np.uint64(0))
        check |= np.where(in_data, 0, 1 << np.maximum(column - code.data_bits, 0)).astype(np.int32)
    return data, check


@pytest.fixture(params=SECDED.values(), ids=str)
def code(request):
    return request.param


def test_columns_are_distinct_and_of_odd_weight(code):
    singles = [1 << i for i in range(code.check_bits)]
    assert len({*code.columns, *singles}) == code.cells
    assert all(bin(column).count("1") % 2 for column in code.columns)


def test_check_bits_cover_alike_many_data_bits(code):
    covered = [sum(c >> i & 1 for c in code.columns) for i in range(code.check_bits)]
    assert max(covered) - min(covered) <= 1


def test_a_word_without_an_upset_is_read_as_it_is(code):
    decoded = code.decode(np.zeros(1, np.uint64), np.zeros(1, np.int32))
    assert not decoded.data.any() and not decoded.corrected.any() and not decoded.detected.any()


def test_every_single_upset_is_corrected(code):
    decoded = code.decode(*patterns(code, 1))
    assert decoded.corrected.all() and not decoded.data.any()


def test_every_double_upset_is_detected(code):
    decoded = code.decode(*patterns(code, 2))
    assert decoded.detected.all() and not decoded.corrected.any()


def test_triples_are_miscorrected_or_detected_and_never_right(code):
    data, check = patterns(code, 3)
    decoded = code.decode(data, check)
    assert (decoded.corrected | decoded.detected).all()
    assert decoded.corrected.any() and decoded.detected.any()
    # What is left of a miscorrected triple is a code word's worth of upsets: 4 in all.
    left = [bin(d).count("1") for d in decoded.data[decoded.corrected].tolist()]
    assert set(left) <= {0, 1, 2, 3, 4}


def test_check_bits_are_those_of_the_parity_check_matrix(code):
    words = np.random.default_rng(0).integers(0, 1 << 63, 100, dtype=np.uint64)
    words &= np.uint64((1 << code.data_bits) - 1)
    for word, check in zip(words.tolist(), code.checks(words).tolist()):
        expected = 0
        for i, column in enumerate(code.columns):
            expected ^= column if word >> i & 1 else 0
        assert check == expected


@pytest.mark.parametrize("data_bits", [1, 8, 32, 64])
def test_parity_detects_an_odd_number_of_upsets(data_bits):
    code = parity(data_bits)
    for upsets in range(min(3, code.cells) + 1):
        decoded = code.decode(*patterns(code, upsets))
        assert decoded.detected.all() == bool(upsets % 2) and not decoded.corrected.any()


@pytest.mark.parametrize("ber", [1e-3, 1e-2, 5e-2])
def test_residual_word_failures_follow_the_binomial_closed_form(code, ber):
    """Words by 0, 1, 2, 3+ upsets, check bits included, and what the decoder makes of each."""
    words, n = 200_000, code.cells
    upset = np.random.default_rng(5).random((words, n)) < ber
    data = (upset[:, : code.data_bits] << np.arange(code.data_bits, dtype=np.uint64)).sum(
        axis=1, dtype=np.uint64
    )
    check = (upset[:, code.data_bits :] << np.arange(code.check_bits)).sum(axis=1).astype(np.int32)
    decoded = code.decode(data, check)
    count = upset.sum(axis=1)
    probability = [math.comb(n, k) * ber**k * (1 - ber) ** (n - k) for k in range(3)]
    law = residual(code, ber)
    expected = {
        "right": probability[0] + probability[1],
        "detected double": probability[2],
        "three or more": 1 - sum(probability),
        "three or more, given up": law.detected - probability[2],
        "three or more, miscorrected": law.corrected - probability[1],
    }
    seen = {
        "right": (count <= 1) & (decoded.data == 0) & ~decoded.detected,
        "detected double": (count == 2) & decoded.detected,
        "three or more": count >= 3,
        "three or more, given up": (count >= 3) & decoded.detected,
        "three or more, miscorrected": (count >= 3) & decoded.corrected,
    }
    for name, p in expected.items():
        z = (seen[name].sum() - words * p) / math.sqrt(words * p * (1 - p) + 1e-9)
        assert abs(z) < 4, (name, z)


def test_every_scheme_but_none_and_tmr_has_a_code():
    codes = {scheme: code_of(scheme, 32) for scheme in SCHEMES}
    assert {scheme for scheme, code in codes.items() if code is None} == {"none", "tmr"}
    assert all(code.name == scheme for scheme, code in codes.items() if code is not None)
    with pytest.raises(KeyError):
        code_of("bch", 32)
