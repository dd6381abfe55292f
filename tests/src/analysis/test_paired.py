"""Comparison of two campaigns."""

import numpy as np
import pytest
from click.testing import CliRunner

import toy
from seu_plugin import Campaign
from seu_plugin.analysis.drops import Differences
from seu_plugin.analysis.intervals import t_interval
from seu_plugin.analysis.paired import compared
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.commands import cli
from seu_plugin.errors import ConfigError


@pytest.fixture
def campaign(tmp_path):
    import torch

    def _campaign(name, widths=((4, 4), (3, 5)), images=64, **settings):
        model = toy.net(bits=widths)
        batch = toy.batch(64)[:images]
        with torch.no_grad():
            reference = model(batch).argmax(1)

        def right():
            with torch.no_grad():
                return (model(batch).argmax(1) == reference).float()

        folder = tmp_path / name
        given = {"ber": [1e-3, 3e-2], "trials": 6, "threshold": "grid", "seed": 1}
        given.update({"sampling": "plain", **settings})
        Campaign(model, right, output=str(folder), **given).run()
        return folder

    return _campaign


def accuracies(folder, ber):
    found = {
        r.trial.number: r.metrics[0] for r in read_rows(folder / TRIALS)[0] if r.trial.ber == ber
    }
    return [found[n] for n in sorted(found)]


def test_differences_are_paired_by_fault_map(campaign):
    plain, guarded = campaign("a"), campaign("b", protection={"scheme": "secded_39_32"})
    golden, _, row = compared(plain, guarded).rows
    a, b = accuracies(plain, 3e-2), accuracies(guarded, 3e-2)
    assert (golden.ber, golden.difference) == (0.0, 0.0)
    assert row.difference == pytest.approx(np.mean(b) - np.mean(a))
    assert row.interval == pytest.approx(t_interval([y - x for x, y in zip(a, b)], 0.95))
    picture = plain / "c.png"
    command = ["compare", str(plain), str(guarded), "--picture", str(picture)]
    printed = CliRunner().invoke(cli, command).output
    assert "golden" in printed and f"{row.difference:+.2f}" in printed
    assert f"picture: {picture}" in printed and picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("scheme", "pairs"), [("secded_39_32", False), ("parity", False), ("tmr", True)]
)
def test_clusters_are_not_paired_where_check_bits_lie_between(campaign, scheme, pairs):
    clusters = {"mode": "mbu", "mbu": {"sizes": {1: 0.5, 2: 0.5}}}
    plain = campaign("a", **clusters)
    guarded = campaign("b", **clusters, protection={"scheme": scheme})
    assert (not compared(plain, guarded).differ) == pairs
    title = CliRunner().invoke(cli, ["compare", str(plain), str(guarded)]).output.splitlines()[0]
    assert ("paired" in title) == pairs


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"seed": 2}, "seed: 1 / 2"),
        ({"bits": "msb"}, "bits: all / msb"),
        ({"mode": "stuck_at"}, "mode: ber / stuck_at"),
        ({"sampling": "conditional"}, "sampling: plain / conditional"),
    ],
)
def test_what_makes_other_upsets_is_listed(campaign, other, what):
    first, second = campaign("a"), campaign("b", **other)
    (told,) = compared(first, second).differ
    assert told.startswith(what)
    output = CliRunner().invoke(cli, ["compare", str(first), str(second)]).output
    assert "over fault maps that differ" in output and what in " ".join(output.split())


def test_networks_of_other_widths_are_compared_over_maps_that_differ(campaign):
    wide, narrow = campaign("a"), campaign("b", widths=((3, 4), (3, 5)))
    (told,) = compared(wide, narrow).differ
    assert told == "bit widths: 3/4/8 bits / 3/8 bits"
    _, low, high = compared(wide, narrow).rows
    for row in (low, high):
        a, b = accuracies(wide, row.ber), accuracies(narrow, row.ber)
        assert row.difference == pytest.approx(np.mean(b) - np.mean(a))
        assert row.interval.low < row.difference < row.interval.high
        assert row.any_law.low <= row.interval.low and row.interval.high <= row.any_law.high


def test_a_conditional_campaign_bounds_its_differences_by_the_chance_of_a_trial(campaign):
    both = [campaign(name, ber=[1e-6], sampling="conditional") for name in "ab"]
    row = compared(*both).rows[1]
    assert row.difference == 0.0 and -1.0 < row.any_law.low < 0.0 < row.any_law.high < 1.0


def test_what_each_protection_leaves_is_told(campaign):
    schemes = ("none", "secded_39_32")
    both = [campaign(name, sampling="conditional", protection={"scheme": name}) for name in schemes]
    (told,) = compared(*both).differ
    assert told.startswith("drawn given: 1 of 1 cells in one of ") and " / 3 of 39 cells" in told


def test_other_images_are_told(campaign):
    (told,) = compared(campaign("a"), campaign("b", images=32)).differ
    assert told == "images: 64 / 32"


@pytest.mark.parametrize("shared", [-0.9, 0.0, 0.9])
def test_intervals_hold_whatever_the_two_have_in_common(shared):
    # Drops of both campaigns are more or less alike, trial by trial.
    rng = np.random.default_rng(5)
    root = np.linalg.cholesky([[1.0, shared], [shared, 1.0]])

    def draw(campaigns, law):
        drops = law(rng.standard_normal((campaigns, 20, 2)) @ root.T)
        return drops[..., 0] - drops[..., 1] / 2

    def covered(law, interval):
        truth = draw(100_000, law).mean()
        found = (interval(Differences(tuple(v), -100.0, 100.0)) for v in draw(1000, law))
        return np.mean([one.low <= truth <= one.high for one in found])

    near_normal, skewed = (lambda z: 10.0 + 3.0 * z), (lambda z: np.minimum(np.exp(2.0 * z), 100.0))
    assert covered(near_normal, lambda d: d.normal(0.95)) == pytest.approx(0.95, abs=0.02)
    assert covered(skewed, lambda d: d.any_law(0.95)) >= 0.95


def test_nothing_in_common_is_an_error(campaign):
    with pytest.raises(ConfigError, match="no BER with two common trials"):
        compared(campaign("a"), campaign("b", ber=[1e-2]))


def test_layers_of_one_name_and_width_are_not_paired_where_their_sizes_differ(tmp_path):
    """The same draw means other words in them, though seed, names and widths agree."""
    import torch
    from torch import nn

    def campaign_of(hidden):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, hidden), nn.Linear(hidden, 3)).eval()
        images = torch.randn(8, 4)
        folder = tmp_path / str(hidden)
        asked = {"ber": [1e-2, 1e-1], "trials": 2, "threshold": "grid", "quantizer": "float"}
        with torch.no_grad():
            Campaign(
                model,
                lambda: float((model(images) > 0).double().mean()) * 100,
                seed=1,
                output=str(folder),
                **asked,
            ).run()
        return folder

    small, large = campaign_of(4), campaign_of(8)
    assert compared(small, large).differ == ["words: 16 in 0 / 32"]
    assert compared(small, small).differ == []
