"""Maps drawn ahead are the maps drawn on demand."""

import multiprocessing
import sys

import numpy as np
import pytest
import torch

import toy
from seu_plugin import FaultInjector
from seu_plugin.injection import drawing
from seu_plugin.injection.drawing import MapDrawer
from seu_plugin.settings.section import parse_settings

WORDS, WIDTH = 100_000, 4


def drawer(ber=0.05, **settings):
    return MapDrawer("conv1", WORDS, parse_settings({"ber": ber, **settings}), 7)


def same(one, other):
    one, other = one.map, other.map
    return np.array_equal(one.index, other.index) and np.array_equal(one.mask, other.mask)


def test_a_map_drawn_ahead_is_the_same():
    ahead = drawer()
    ahead.draw_ahead(WIDTH, 3)
    assert same(ahead.draw(WIDTH, 3), drawer().draw(WIDTH, 3))


@pytest.mark.parametrize("asked", [(WIDTH, 4), (3, 3)])
def test_another_map_than_the_expected_is_drawn_as_asked(asked):
    ahead = drawer()
    ahead.draw_ahead(WIDTH, 3)
    assert same(ahead.draw(*asked), drawer().draw(*asked))


def test_expecting_twice_keeps_the_last():
    ahead = drawer()
    ahead.draw_ahead(WIDTH, 3)
    ahead.draw_ahead(WIDTH, 4)
    assert same(ahead.draw(WIDTH, 4), drawer().draw(WIDTH, 4))


def test_selected_bits_are_those_of_the_whole_map():
    ahead = drawer(bits="msb")
    ahead.draw_ahead(WIDTH, 0)
    assert set(ahead.draw(WIDTH, 0).map.mask.tolist()) == {1 << (WIDTH - 1)}


@pytest.mark.parametrize("persistence", ["static", "per_forward"])
def test_outputs_do_not_depend_on_drawing_ahead(monkeypatch, persistence):
    def outputs():
        model = toy.net()
        with FaultInjector(model, ber=0.1, seed=1, persistence=persistence) as injector:
            with torch.no_grad():
                values = [model(toy.batch()) for _ in range(3)]
        return values, injector.statistics()

    expected, counted = outputs()
    monkeypatch.setattr(drawing, "AHEAD_FROM", 1)
    got, statistics = outputs()
    assert all(torch.equal(a, b) for a, b in zip(got, expected))
    assert statistics == counted


def _draw_in_child(queue):
    ahead = drawer()
    ahead.draw_ahead(WIDTH, 3)
    queue.put(ahead.draw(WIDTH, 3).upsets)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_forked_child_draws_with_threads_of_its_own():
    ahead = drawer()
    ahead.draw_ahead(WIDTH, 3)
    expected = ahead.draw(WIDTH, 3).upsets
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_draw_in_child, args=(queue,), daemon=True)
    child.start()
    assert queue.get(timeout=60) == expected
    child.join()
