"""Campaigns whose trials are drawn given that something may be read wrong."""

import json

import pytest
import torch

import toy
from seu_plugin import Campaign
from seu_plugin.analysis.folders import summary_of
from seu_plugin.analysis.manifest import MANIFEST
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.campaign.sampling import plain_because
from seu_plugin.errors import ConfigError
from seu_plugin.settings.section import parse_section

RATE = {"fit_per_mbit": 500}


def campaign(output, model=None, **settings):
    model = toy.net() if model is None else model
    reference = []

    def accuracy():
        with torch.no_grad():
            found = model(toy.batch(64)).argmax(1)
        if not reference:
            reference.append(found)
        return 100.0 * float((found == reference[0]).float().mean())

    given = {"ber": [1e-12, 1e-3], "trials": 6, "threshold": "grid", "seed": 1, **settings}
    return Campaign(model, accuracy, output=str(output), **given)


def rows(folder):
    return [row for row in read_rows(folder / TRIALS)[0] if row.trial.ber is not None]


def test_every_trial_has_an_upset_and_is_weighed(tmp_path):
    summary = campaign(tmp_path).run()
    found = rows(tmp_path)
    assert len(found) == 12 and all(row.upsets >= 1 and row.ran for row in found)
    for row in found:
        assert row.struck == ((row.upsets, row.upsets),)
    rare, often = summary.bers
    assert rare.chance == pytest.approx(1e-12 * summary.bits, rel=1e-6)
    assert rare.drop == pytest.approx(rare.chance * (summary.golden[0] - rare.quantiles[2]), abs=1)
    low, high = rare.drop_any_law_interval
    assert 0.0 < high - low < 200.0 * rare.chance
    assert often.exceeding_interval.high <= often.chance
    assert summary.sampling == "conditional"


def test_the_manifest_names_the_memory(tmp_path):
    summary = campaign(tmp_path, protection={"scheme": "tmr"}).run()
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["sampling"] == "conditional"
    assert manifest["population"] == {"kinds": [[summary.bits, 3, 2]], "factor": 1.0}


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "stuck_at", "stuck_at": "random"},
        {"mode": "asymmetric", "asymmetric": {"zero_to_one": 0.5}},
        {"mode": "mbu", "mbu": {"sizes": {1: 0.5, 2: 0.5}}},
        {"protection": {"scheme": "secded_39_32"}},
        {"mode": "stuck_at", "protection": {"scheme": "tmr"}},
        {"bits": "msb"},
    ],
)
def test_it_is_drawn_so_in_every_mode(tmp_path, settings):
    summary = campaign(tmp_path, **settings).run()
    assert summary.sampling == "conditional"
    for row in summary.bers:
        low, high = row.drop_any_law_interval
        assert 0.0 < row.chance <= 1.0 and high > low


def test_an_interrupted_campaign_gives_the_same_rows(tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    campaign(whole).run()
    campaign(part, trials=3).run()
    campaign(part).run()

    def by_id(folder):
        return {row.trial.id: {**row.row(), "seconds": 0} for row in rows(folder)}

    assert by_id(whole) == by_id(part)


def test_the_model_is_as_before(tmp_path):
    model = toy.net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        output = model(toy.batch(4))
        campaign(tmp_path, model).run()
        assert torch.equal(model(toy.batch(4)), output)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"campaign": {"sampling": "plain"}}, "sampling is plain"),
        ({"mode": "exact_count", "upsets": 3, "campaign": {"max_drop": None}}, "exact_count"),
        ({"campaign": {}, "targets": ["weights", "biases"]}, "targets are weights, biases"),
        ({"campaign": {}, "persistence": "per_forward"}, "per_forward"),
    ],
)
def test_what_cannot_be_is_drawn_plainly_and_said(section, told):
    parsed = parse_section(section)
    assert told in plain_because(parsed, parsed.campaign)


def test_a_network_in_train_mode_is_drawn_plainly_and_said(tmp_path, capsys):
    model = toy.net().train()
    more = {"rate": {"upsets_per_bit_day": 1e-3, "exposure": "1 d"}}
    campaign(tmp_path, model, enable_in_training=True, **more).run()
    assert "drawn plainly: layers are in train mode" in capsys.readouterr().out
    assert all(row.struck is None for row in rows(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "drawn plainly (layers are in train mode" in page


def test_plain_trials_are_as_they_were(tmp_path):
    summary = campaign(tmp_path, sampling="plain").run()
    assert [row.chance for row in summary.bers] == [1.0, 1.0]
    assert not any(row.ran for row in rows(tmp_path) if row.trial.ber == 1e-12)


def test_a_ber_that_no_float_holds_is_refused_before_any_trial(tmp_path):
    with pytest.raises(ConfigError, match=r"campaign\.ber: 1e-200 is too small"):
        campaign(tmp_path, ber=[1e-200], protection={"scheme": "tmr"}).run()
    assert not (tmp_path / TRIALS).exists()


def test_conditional_and_plain_rows_are_not_mixed(tmp_path):
    campaign(tmp_path).run()
    with pytest.raises(ConfigError, match="sampling: conditional goes on with it"):
        campaign(tmp_path, sampling="plain").run()


def test_where_something_is_struck_for_certain_trials_are_plain(tmp_path):
    conditional, plain = tmp_path / "conditional", tmp_path / "plain"
    campaign(conditional, ber=[0.1]).run()
    campaign(plain, ber=[0.1], sampling="plain").run()
    for one, other in zip(rows(conditional), rows(plain)):
        assert one.struck is None and one.metrics == other.metrics and one.upsets == other.upsets


def test_no_rate_of_the_search_is_more_than_certain(tmp_path):
    rates = {"zero_to_one": 0.5, "one_to_zero": 8.0}
    given = {"mode": "asymmetric", "asymmetric": rates, "max_drop": 99.0, "threshold": "search"}
    campaign(tmp_path, **given).run()
    assert 1e-3 < max(row.trial.ber for row in rows(tmp_path)) <= 1 / 8


@pytest.mark.parametrize(
    "population",
    [
        {"kinds": [], "factor": 1.0},
        {"kinds": [[0, 1, 1]], "factor": 1.0},
        {"kinds": [[5, 2, 5]], "factor": 1.0},
        {"kinds": [[5, 1 << 62, 2]], "factor": 1.0},
        {"kinds": [[5, 1, 1]], "factor": 0.0},
        {"kinds": [[5, 1, 1]], "factor": 1e-323},
        {"kinds": [[5, 1, 1], [5, 3, 2]], "factor": 1.0},
    ],
)
def test_a_memory_that_cannot_be_is_refused_in_one_line(tmp_path, population):
    campaign(tmp_path).run()
    path = tmp_path / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "population": population}))
    with pytest.raises(ConfigError, match=r"population|struck") as caught:
        summary_of([tmp_path])
    assert len(str(caught.value).splitlines()) == 1
