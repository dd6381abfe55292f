"""Campaigns that upset bits where gradients say that they matter, against all bits tried."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import toy
from seu_plugin import Campaign
from seu_plugin.analysis.worst import worst
from seu_plugin.errors import ConfigError


@pytest.fixture(scope="module")
def studied():
    """A trained network of floats, its accuracy, and the drop of every single bit."""
    torch.manual_seed(0)
    images = torch.randn(400, 12)
    classes = (images @ torch.randn(12, 5)).argmax(1)
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5))
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), classes).backward()
        optimizer.step()
    model.eval()

    def accuracy():
        with torch.no_grad():
            return float((model(images).argmax(1) == classes).double().mean()) * 100.0

    golden, drops = accuracy(), {}
    for site in ("0", "2"):
        words = model[int(site)].weight.data.view(torch.int32).view(-1)
        for word in range(words.numel()):
            for bit in range(32):
                mask = 1 << bit if bit < 31 else -(1 << 31)
                words[word] ^= mask
                drops[site, word, bit] = golden - accuracy()
                words[word] ^= mask
    return model, accuracy, drops


def campaign(studied, folder, **critical):
    model, accuracy, _ = studied
    asked = {"ber": [1e-6], "trials": 2, "threshold": "grid", "seed": 3, "quantizer": "float"}
    return Campaign(model, accuracy, output=str(folder), critical=critical, **asked)


def test_the_most_harmful_bits_are_found_in_few_trials(studied, tmp_path):
    """Uniform sampling finds 90 % of them after 90 % of all bits; this in a tenth of that."""
    drops = studied[2]
    most = len(drops) * 9 // 100
    campaign(studied, tmp_path, trials=most).run()
    plan = json.loads((tmp_path / "critical.json").read_text())
    drawn = {tuple(one[:3]) for one in plan["drawn"]}
    top = sorted(drops, key=lambda bit: -drops[bit])[:50]
    assert len(drawn) <= most * 1.1
    assert sum(bit in drawn for bit in top) >= 45
    found = worst(tmp_path, 20)
    assert found[0].drop == pytest.approx(max(drops.values()))
    for one in found:
        key = one.fault.site, one.fault.word, one.fault.bit
        assert one.drop == pytest.approx(drops[key])


def test_the_estimate_agrees_with_all_bits(studied, tmp_path):
    truth = np.mean([*studied[2].values()])
    found = campaign(studied, tmp_path, trials=500).run().critical
    assert found.bits == len(studied[2])
    assert found.interval.low <= truth <= found.interval.high
    assert found.interval.high - found.interval.low < truth


def test_the_model_is_as_before(studied, tmp_path):
    model = studied[0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    campaign(studied, tmp_path, trials=50, images=64).run()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(one.grad is None or one.requires_grad for one in model.parameters())


def test_a_campaign_goes_on_with_its_plan(studied, tmp_path):
    first = campaign(studied, tmp_path, trials=60).run()
    plan = (tmp_path / "critical.json").read_bytes()
    rows = (tmp_path / "trials.jsonl").read_bytes()
    again = campaign(studied, tmp_path, trials=60).run()
    assert (tmp_path / "critical.json").read_bytes() == plan
    assert (tmp_path / "trials.jsonl").read_bytes() == rows
    assert again.critical == first.critical


def test_quantized_layers_have_scores_too(tmp_path):
    model = toy.net()
    batch = toy.batch(32)
    with torch.no_grad():
        classes = model(batch).argmax(1)

    def accuracy():
        with torch.no_grad():
            return float((model(batch).argmax(1) == classes).double().mean()) * 100.0

    asked = {"ber": [1e-4], "trials": 2, "threshold": "grid", "seed": 3}
    found = Campaign(model, accuracy, output=str(tmp_path), critical={"trials": 40}, **asked).run()
    assert found.critical.trials > 10
    plan = json.loads((tmp_path / "critical.json").read_text())
    assert len({one[3] for one in plan["drawn"]}) > 5  # not all of one score


def test_outputs_that_are_no_classes_are_an_error(tmp_path):
    model = nn.Sequential(nn.Linear(4, 1)).eval()
    asked = {"ber": [1e-4], "trials": 2, "threshold": "grid", "seed": 3, "quantizer": "float"}

    def accuracy():
        with torch.no_grad():
            return float(model(torch.ones(2, 4)).sum() * 0 + 50)

    with pytest.raises(ConfigError, match=r"campaign.critical: needs outputs of shape \[images"):
        Campaign(model, accuracy, output=str(tmp_path), critical={"trials": 40}, **asked).run()
