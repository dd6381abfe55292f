"""Trials have names, each its own."""

import base64
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.analysis.packed_bits import packed
from seu_plugin.analysis.trials import GOLDEN, Trial, TrialResult, grid, same, stratum


@pytest.mark.parametrize(
    "trial,name",
    [
        (Trial(0), GOLDEN),
        (Trial(7, 1e-3), "0.001:7"),
        (Trial(0, 1.78e-5), "1.78e-05:0"),
        (Trial(7, site="a.conv1", bit=3, placed=1), "a.conv1#3:7"),
        (Trial(7, site="a.conv1", placed=2), "a.conv1#*x2:7"),
        (Trial(7, bit=3, placed=1), "*#3:7"),
        (Trial(7, site="fc", bit=0, placed=1, exhaustive=True), "fc#0:word7"),
    ],
)
def test_ids(trial, name):
    assert trial.id == name


trials = st.one_of(
    st.builds(Trial, st.integers(0, 99), st.floats(1e-12, 1.0)),
    st.builds(
        Trial,
        st.integers(0, 99),
        st.none(),
        st.sampled_from(["conv1", "layer1.0.conv2"]),
        st.one_of(st.none(), st.integers(0, 15)),
        st.integers(1, 5),
        st.booleans(),
    ),
)


@given(trials, trials)
def test_different_trials_have_different_ids(one, other):
    assert (one == other) == (one.id == other.id)


def test_the_time_taken_does_not_make_a_result_another():
    one = TrialResult(Trial(1, 0.1), (9.0,), seconds=1.0)
    assert same(one, TrialResult(Trial(1, 0.1), (9.0,), seconds=2.0))
    assert not same(one, TrialResult(Trial(1, 0.1), (9.1,), seconds=1.0))


def test_a_grid_pairs_the_same_numbers_at_each_ber():
    assert [t.id for t in grid((0.1, 0.2), 3, 5)] == ["0.1:3", "0.1:4", "0.2:3", "0.2:4"]


def test_strata_names():
    assert stratum(None, None) == "*#*"


def test_the_same_bits_are_the_same_however_they_were_compressed():
    bits = np.arange(4000) % 7 == 0
    text = base64.b85encode(zlib.compress(np.packbits(bits).tobytes(), 1)).decode()
    assert text != packed(bits)
    one, other = (TrialResult(Trial(1, 0.1), (90.0,), changed=(t,)) for t in (text, packed(bits)))
    assert same(one, other)
    bits[5] = True
    assert not same(one, replace(one, changed=(packed(bits),)))
    assert not same(one, replace(one, changed=("!",)))
    assert not same(one, replace(one, changed=("",)))
