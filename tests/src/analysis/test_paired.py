"""Paired comparison of two campaigns."""

import numpy as np
import pytest
from click.testing import CliRunner

import toy
from seu_plugin import Campaign
from seu_plugin.analysis.intervals import t_interval
from seu_plugin.analysis.paired import differences, paired
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.commands import cli
from seu_plugin.errors import ConfigError


@pytest.fixture
def campaign(tmp_path):
    import torch

    def _campaign(name, **settings):
        model = toy.net()
        with torch.no_grad():
            reference = model(toy.batch(64)).argmax(1)

        def accuracy():
            with torch.no_grad():
                return 100.0 * float((model(toy.batch(64)).argmax(1) == reference).float().mean())

        folder = tmp_path / name
        given = {"ber": [1e-3, 3e-2], "trials": 6, "threshold": "grid", "seed": 1}
        given.update(sampling="plain", **settings)
        Campaign(model, accuracy, output=str(folder), **given).run()
        return folder

    return _campaign


def accuracies(folder, ber):
    found = {
        r.trial.number: r.metrics[0] for r in read_rows(folder / TRIALS)[0] if r.trial.ber == ber
    }
    return [found[n] for n in sorted(found)]


def test_differences_are_paired_by_fault_map(campaign):
    plain, guarded = campaign("a"), campaign("b", protection={"scheme": "secded_39_32"})
    golden, _, row = differences(plain, guarded)
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
    assert paired(plain, guarded) == pairs
    title = CliRunner().invoke(cli, ["compare", str(plain), str(guarded)]).output.splitlines()[0]
    assert ("paired" in title) == pairs


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"seed": 2}, "seed is 1"),
        ({"bits": "msb"}, "bits is 'all'"),
        ({"mode": "stuck_at"}, "mode"),
    ],
)
def test_other_upsets_cannot_be_paired(campaign, other, what):
    with pytest.raises(ConfigError, match=f"cannot be paired, since {what}"):
        differences(campaign("a"), campaign("b", **other))


def test_nothing_in_common_is_an_error(campaign):
    with pytest.raises(ConfigError, match="no BER with two common trials"):
        differences(campaign("a"), campaign("b", ber=[1e-2]))
