"""Fault maps: exact, nested, and the same by either path."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seu_plugin.errors import SiteError
from seu_plugin.faults import fault_map
from seu_plugin.faults.dense_map import draw_dense, free_buffers
from seu_plugin.faults.fault_map import distinct, draw_fault_map
from seu_plugin.faults.placing import place
from seu_plugin.faults.seeding import Stream

SEEDS = st.integers(0, 2**64 - 1)


def bit_set(drawn, width):
    return {
        int(i) * width + b
        for i, m in zip(drawn.index, drawn.mask)
        for b in range(width)
        if m >> b & 1
    }


def draw(seed, words, width, ber, **key):
    return draw_fault_map(Stream(seed, "layer", **key), words, width, ber)


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 300), st.integers(1, 32), st.floats(0, 1))
def test_a_map_is_well_formed(seed, words, width, ber):
    drawn = draw(seed, words, width, ber)
    assert np.all(np.diff(drawn.index) > 0)
    assert drawn.index.size == 0 or 0 <= drawn.index[0] <= drawn.index[-1] < words
    masks = drawn.mask.astype(np.uint32)
    assert np.all((masks > 0) & (masks < 1 << width))
    assert len(bit_set(drawn, width)) == drawn.upsets


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 300), st.integers(1, 8), st.floats(0, 1), st.floats(0, 1))
def test_maps_are_nested_in_ber(seed, words, width, one, other):
    low, high = sorted((one, other))
    inner, outer = draw(seed, words, width, low), draw(seed, words, width, high)
    assert bit_set(inner, width) <= bit_set(outer, width)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 200), st.integers(1, 32), st.floats(0, 1))
def test_sparse_and_dense_paths_agree(seed, words, width, share):
    n = int(share * words * width)
    sparse = fault_map._draw_sparse(Stream(seed, "x"), words, width, n)
    index, mask = draw_dense(Stream(seed, "x"), words, width, n)
    assert np.array_equal(sparse.index, index)
    assert np.array_equal(sparse.mask, mask)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 200), st.integers(1, 32), st.integers(0, fault_map.FEW))
def test_the_path_for_a_few_agrees(seed, words, width, n):
    n = min(n, words * width)
    few = fault_map._draw_few(Stream(seed, "x"), words, width, n)
    sparse = fault_map._draw_sparse(Stream(seed, "x"), words, width, n)
    assert np.array_equal(few.index, sparse.index)
    assert np.array_equal(few.mask, sparse.mask)
    assert few.upsets == sparse.upsets == n


@pytest.mark.parametrize("limit", [1000, 2**16, 2**24, 2**24 + 1, 2**32 - 1])
def test_sorting_by_digits_agrees(limit):
    values = Stream(1, "x").positions(3 * fault_map.RADIX_FROM, limit)
    expected = sorted(values.tolist())
    assert fault_map._sorted(values, limit).tolist() == expected


class Counting(Stream):
    calls = 0

    def positions(self, n, bits):
        self.calls += 1
        return super().positions(n, bits)


@pytest.mark.parametrize("ber", [0.99, 0.9999, 0.99999])
def test_near_a_ber_of_1_a_map_takes_few_rounds(ber):
    stream = Counting(42, "x")
    drawn = draw_fault_map(stream, 100_000, 8, ber)
    assert len(np.unpackbits(drawn.mask.astype("<u2").view(np.uint8)).nonzero()[0]) == drawn.upsets
    assert stream.calls < 200


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 3000), st.floats(0, 1))
def test_placed_upsets_are_the_first_distinct_positions(seed, words, share):
    n = int(share * words)
    found = place({"a": (words, [0])}, n, "x", seed, 0)
    stream, expected = Stream(seed, "x"), set()
    while len(expected) < n:
        expected.add(stream.few_positions(1, words)[0])
    assert set(found["a"].index.tolist() if n else []) == expected


def test_the_buffer_of_the_dense_path_is_zero_again():
    draw(3, 5_000, 3, 0.3)
    draw(4, 5_000, 3, 0.3)
    first = draw(3, 5_000, 3, 0.3)
    free_buffers()
    second = draw(3, 5_000, 3, 0.3)
    assert np.array_equal(first.index, second.index)
    assert np.array_equal(first.mask, second.mask)


def test_maps_are_nested_across_the_switch_between_paths():
    below, above = fault_map.DENSE_FROM * 0.8, fault_map.DENSE_FROM * 1.2
    inner, outer = draw(3, 20_000, 4, below), draw(3, 20_000, 4, above)
    assert bit_set(inner, 4) < bit_set(outer, 4)


@pytest.mark.parametrize(
    "ber,words,draws",
    [(1e-8, 12_500_000, 400), (1e-6, 1_000_000, 300), (1e-3, 100_000, 100), (0.1, 20_000, 100)],
)
def test_observed_upsets_agree_with_the_binomial(ber, words, draws):
    upsets = np.array([draw(7, words, 4, ber, trial=t).upsets for t in range(draws)])
    bits = 4 * words
    mean, variance = bits * ber, bits * ber * (1 - ber)
    z = (upsets.sum() - draws * mean) / np.sqrt(draws * variance)
    assert abs(z) < 4
    # Variance of the sample variance of a binomial: mu4 = var * (1 + 3 var - 6 p (1 - p) ...)
    fourth = variance * (1 + (3 * bits - 6) * ber * (1 - ber))
    spread = np.sqrt((fourth - variance**2 * (draws - 3) / (draws - 1)) / draws)
    assert abs(upsets.var(ddof=1) - variance) / spread < 4


def test_positions_and_bit_planes_are_uniform():
    words, width = 1000, 5
    hits = np.zeros(words * width)
    for trial in range(400):
        hits[list(bit_set(draw(11, words, width, 0.01, trial=trial), width))] += 1
    assert stats.chisquare(hits).pvalue > 1e-4
    assert stats.chisquare(hits.reshape(words, width).sum(0)).pvalue > 1e-4


def test_neighbouring_bits_are_uncorrelated():
    words, width, trials = 2000, 4, 200
    both = sum(
        len(s & {b + 1 for b in s})
        for s in (bit_set(draw(13, words, width, 0.05, trial=t), width) for t in range(trials))
    )
    pairs = (words * width - 1) * trials
    z = (both - pairs * 0.05**2) / np.sqrt(pairs * 0.05**2)
    assert abs(z) < 5


def test_restriction_keeps_the_chosen_bits_of_the_same_map():
    whole = draw(1, 500, 4, 0.2)
    kept = whole.restricted_to(0b1010)
    expected = {q for q in bit_set(whole, 4) if q % 4 in (1, 3)}
    assert bit_set(kept, 4) == expected
    assert kept.upsets == len(expected)


def test_restriction_to_nothing_is_empty():
    assert draw(1, 500, 4, 0.2).restricted_to(0).upsets == 0


@pytest.mark.parametrize("width", [0, 33])
def test_width_out_of_range_is_an_error(width):
    with pytest.raises(SiteError, match="widths 1 to 32"):
        draw(0, 10, width, 0.1)


def test_site_of_too_many_bits_is_an_error():
    with pytest.raises(SiteError, match="2\\*\\*32"):
        draw(0, 2**29, 8, 1e-9)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_bits_of_masks_are_counted_up_to_the_sign(values):
    masks = fault_map.as_masks(values)
    expected = sum(bin(value).count("1") for value in values)
    assert fault_map.popcount(masks) == expected
    assert [int(fault_map.as_mask(value)) for value in values] == masks.tolist()


def test_a_map_of_all_bits_restricted_to_the_sign():
    kept = draw(1, 40, 32, 1.0).restricted_to(1 << 31)
    assert kept.upsets == 40
    assert set(kept.mask.tolist()) == {-(2**31)}


@given(st.lists(st.integers(-5, 60)))
def test_distinct_values_are_those_of_a_set(values):
    found = distinct(np.array(values, dtype=np.int64))
    assert found.tolist() == sorted(set(values))
