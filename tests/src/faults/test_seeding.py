"""Stream v1: frozen, keyed, and independent of every global generator."""

import random

import numpy as np
import pytest
import torch

from seu_plugin.faults.seeding import Stream, fresh_seed, site_key


def test_site_key_is_frozen():
    assert (site_key("conv1"), site_key("layer1.0.conv1")) == (
        0x8854C97F58980E7B,
        0x7513DB8C03F65863,
    )


@pytest.mark.parametrize(
    "other",
    [("conv1", 1, 0, 0), ("conv2", 0, 0, 0), ("conv1", 0, 1, 0), ("conv1", 0, 0, 1)],
    ids=["seed", "site", "trial", "draw"],
)
def test_every_part_of_the_key_gives_another_stream(other):
    site, seed, trial, draw = other
    words = Stream(0, "conv1").words(64)
    assert not np.intersect1d(words, Stream(seed, site, trial, draw).words(64)).size


def test_words_in_pieces_are_words_in_one_go():
    whole, pieces = Stream(5, "fc").words(101), Stream(5, "fc")
    parts = [pieces.word(), *pieces.words(3), *pieces.words(97)]
    assert [int(w) for w in whole] == [int(w) for w in parts]


@pytest.mark.parametrize("bits", [1, 3, 1000, 2**31 + 11, 2**32 - 1])
def test_positions_are_the_upper_half_of_the_product(bits):
    words = Stream(9, "x").words(1000)
    expected = [(int(w) * bits) >> 64 for w in words]
    assert Stream(9, "x").positions(1000, bits).tolist() == expected


@pytest.mark.parametrize("bits", [1, 3, 1000, 2**31 + 11, 2**32 - 1])
def test_a_few_positions_are_the_same_positions(bits):
    assert Stream(9, "x").few_positions(50, bits) == Stream(9, "x").positions(50, bits).tolist()


def test_a_restarted_stream_is_a_new_one():
    used = Stream(7, "fc", 2, 3)
    used.words(1001)
    for trial, draw in ((2, 3), (0, 0), (2**64 - 1, 2**64 - 1), (1, 0)):
        fresh = Stream(7, "fc", trial, draw).words(13)
        assert np.array_equal(used.restart(trial, draw).words(13), fresh)


def test_global_generators_are_not_touched():
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    Stream(1, "a").words(1000)
    fresh_seed()
    after = random.getstate(), np.random.get_state(), torch.get_rng_state()
    assert before[0] == after[0]
    assert all(np.array_equal(a, b) for a, b in zip(before[1], after[1]))
    assert torch.equal(before[2], after[2])


def test_largest_key_parts_are_accepted():
    top = 2**64 - 1
    assert Stream(top, "x", top, top).words(4).size == 4
