"""Fault maps whose effect depends on what is stored."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.faults.cell_map import CellMap, empty, gathered, together
from seu_plugin.faults.fault_map import FaultMap
from seu_plugin.injection.placement import PlacedMap, counted
from seu_plugin.memory.codecs import codec

words = st.lists(st.integers(0, 31), min_size=1, max_size=20)


def masks(values):
    return np.array(values, dtype=np.int32)


@given(words, st.integers(0, 31), st.integers(0, 31))
def test_zeros_rise_and_ones_fall_bit_by_bit(stored, up, down):
    cells = CellMap(np.arange(len(stored)), masks([up] * len(stored)), masks([down] * len(stored)))
    flips = cells.flips(masks(stored))
    for word, flipped in zip(stored, flips.tolist()):
        for bit in range(5):
            open_to = down if word >> bit & 1 else up
            assert (flipped >> bit & 1) == (open_to >> bit & 1)
    on_device = CellMap(cells.index, torch.from_numpy(cells.up), torch.from_numpy(cells.down))
    assert torch.equal(on_device.flips(torch.from_numpy(masks(stored))), torch.from_numpy(flips))


def test_counts_on_a_device_are_set_bits_and_words():
    assert counted(torch.tensor([0, 1, 6, 0], dtype=torch.int32), 4).tolist() == [3, 2]


def test_maps_together_hold_all_cells():
    one = CellMap(np.array([1, 4]), masks([1, 2]), masks([0, 2]))
    other = CellMap(np.array([0, 4]), masks([8, 0]), masks([8, 4]))
    both = together(one, empty(), other)
    assert both.index.tolist() == [0, 1, 4]
    assert (both.up.tolist(), both.down.tolist()) == ([8, 1, 2], [8, 0, 6])
    assert together(empty(), empty()).index.size == 0


def test_a_bit_that_is_flipped_twice_is_as_it_was():
    index, found = gathered(np.array([3, 1, 3, 3]), np.array([0, 2, 0, 1]))
    assert (index.tolist(), found.tolist()) == ([1, 3], [4, 2])
    assert gathered(np.array([3, 3]), np.array([0, 0]))[0].size == 0


def test_restriction_leaves_no_empty_word():
    cells = CellMap(np.array([1, 4]), masks([1, 2]), masks([0, 2])).restricted_to(2)
    assert (cells.index.tolist(), cells.up.tolist(), cells.struck) == ([4], [2], 1)


def test_what_flips_whatever_is_stored_is_a_fault_map():
    cells = CellMap(np.array([1, 4]), masks([1, 3]), masks([1, 3]))
    assert cells.independent and isinstance(cells.fault_map(), FaultMap)
    assert cells.fault_map().upsets == 3


def test_codes_are_worked_on_where_the_map_was_put(monkeypatch):
    """With ``device`` other than the weight's, words travel there and back."""
    from seu_plugin.injection.reading import Reader
    from seu_plugin.quantizers.contract import LayerSite
    from seu_plugin.quantizers.grid import Grid

    cells = CellMap(np.array([0]), masks([1]), masks([0]))
    placed = PlacedMap(
        cells, codec("unsigned"), 4, torch.device("cpu"), torch.device("meta"), lambda counts: None
    )
    seen = []

    def by_torch(self, words, grid, flips, placed):
        seen.append((words.device.type, grid.scale.device.type))
        return torch.zeros(1)

    monkeypatch.setattr(Reader, "_by_torch", by_torch)
    grid = Grid(4, False, torch.tensor(0.5))
    Reader(LayerSite("a", None, None)).faulted(torch.zeros(4), placed, grid)
    assert seen == [("meta", "meta")]


@pytest.mark.parametrize("codes_on", ["cpu", "meta"])
def test_only_the_first_reading_is_told(codes_on):
    told = []
    cells = CellMap(np.array([0, 2]), masks([1, 2]), masks([0, 0]))
    placed = PlacedMap(
        cells, codec("unsigned"), 4, torch.device("cpu"), torch.device(codes_on), told.append
    )
    if codes_on == "meta":  # as on a GPU, but for the numbers
        if torch.__version__.startswith("1."):
            pytest.skip("torch 1 does not shift bits on the meta device")
        assert placed.wrong_on_device(torch.zeros(2, dtype=torch.int32, device="meta")).is_meta
        assert [one.shape for one in told] == [(2,)]
        return
    assert placed.wrong(masks([0, 2])).tolist() == [1, 0]
    assert placed.wrong(masks([0, 0])).tolist() == [1, 2]
    assert told == [(1, 1, 1, 0, 0)]
