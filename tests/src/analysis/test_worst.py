"""The most harmful single upsets: found again, and harmful as they were."""

import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from seu_plugin import Campaign, Fault, FaultInjector
from seu_plugin.analysis.worst import worst
from seu_plugin.commands import cli
from seu_plugin.errors import ConfigError

IMAGES = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)).eval()


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A campaign with a study of single upsets; the model and its reference classes."""
    folder, model = tmp_path_factory.mktemp("worst"), net()
    with torch.no_grad():
        classes = model(IMAGES).argmax(1)

    def accuracy():
        with torch.no_grad():
            return float((model(IMAGES).argmax(1) == classes).double().mean()) * 100.0

    study = {"by": ["layer", "bit"], "trials": 12}
    asked = {"ber": [1e-3], "trials": 3, "threshold": "grid", "seed": 5, "quantizer": "float"}
    Campaign(model, accuracy, output=str(folder), sensitivity=study, **asked).run()
    return folder, model, accuracy


def test_the_worst_come_first_and_each_bit_once(studied):
    found = worst(studied[0], 30)
    assert [one.drop for one in found] == sorted((one.drop for one in found), reverse=True)
    assert len({one.fault for one in found}) == len(found) == 30
    rows = [json.loads(line) for line in (studied[0] / "trials.jsonl").open()]
    lowest = min(row["metrics"][0] for row in rows if row["placed"] == 1)
    assert found[0].accuracy == lowest


def test_each_does_as_its_trial_did(studied):
    folder, model, accuracy = studied
    for one in worst(folder, 8):
        with FaultInjector(model, faults=[one.fault], quantizer="float"):
            assert accuracy() == pytest.approx(one.accuracy)


def test_the_command_lists_and_exports_them(studied, tmp_path):
    file = tmp_path / "worst.csv"
    arguments = ["worst", str(studied[0]), "-n", "3", "--export-faults", str(file)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "3 faults" in done.output and "most harmful" in done.output
    lines = file.read_text().splitlines()
    first = worst(studied[0], 1)[0].fault
    assert lines[0] == "site,word,bit" and len(lines) == 4
    assert Fault(*[t(v) for t, v in zip((str, int, int), lines[1].split(","))]) == first


def test_a_campaign_without_single_upsets_says_how_to_get_them(tmp_path):
    model = net()
    asked = {"ber": [1e-3], "trials": 2, "threshold": "grid", "seed": 5, "quantizer": "float"}
    with torch.no_grad():
        Campaign(
            model, lambda: float(model(IMAGES).mean() * 0 + 50), output=str(tmp_path), **asked
        ).run()
    with pytest.raises(ConfigError, match=r"no trial of a single upset: add .* sensitivity"):
        worst(tmp_path, 3)


def test_a_folder_that_does_not_count_its_words_is_an_error(studied, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(studied[0], folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["words"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="words that its manifest does not count"):
        worst(folder, 3)
