"""Folders that earlier versions wrote are read, gone on with, and mean the same upsets.

Each is of the toy network, seed 1: made once by the version in the folder's name, never made anew.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

import toy
from seu_plugin import Campaign, FaultInjector
from seu_plugin.analysis.folders import summary_of
from seu_plugin.analysis.manifest import MANIFEST
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.errors import ConfigError

DATA = Path(__file__).resolve().parents[2] / "data"
FOLDERS = sorted(path.parent for path in DATA.glob(f"campaigns-*/*/{MANIFEST}"))
#: Arguments of the campaigns besides what their plans say.
SETTINGS = {
    "plain": {},
    "protected": {"protection": {"scheme": "secded_39_32"}, "encoding": "offset_binary"},
}

every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}/{f.name}")


def manifest(folder):
    return json.loads((folder / MANIFEST).read_text())


def test_there_are_folders():
    assert {folder.name for folder in FOLDERS} == set(SETTINGS)


@every_folder
def test_rows_are_read_and_written_alike(folder):
    lines = map(json.loads, (folder / TRIALS).read_text().splitlines())
    rows = [result.row() for result in read_rows(folder / TRIALS)[0]]
    assert json.loads(json.dumps(rows)) == list(lines)


@every_folder
def test_their_trials_are_summed_up(folder):
    summary = summary_of([folder])
    assert [row.ber for row in summary.bers] == manifest(folder)["plan"]["ber"]
    assert len(summary.sensitivity) == len(manifest(folder)["strata"])


@every_folder
def test_a_trial_of_theirs_has_the_same_upsets_now(folder):
    seed = manifest(folder)["seed"]
    for row in read_rows(folder / TRIALS)[0]:
        if row.trial.ber is None:
            continue
        model = toy.net()
        settings = {"ber": row.trial.ber, "seed": seed, "trial": row.trial.number}
        injector = FaultInjector(model, **settings, **SETTINGS[folder.name])
        with injector, torch.no_grad():
            model(toy.batch())
        found = {name: site.upsets for name, site in injector.statistics().items() if site.upsets}
        assert found == row.upsets_by_site


@every_folder
def test_the_same_campaign_goes_on_and_runs_nothing_twice(folder, tmp_path, monkeypatch):
    there = manifest(folder)
    # The toy network's step sizes are means, whose last bit is the machine's.
    digest = there["identity"]["model"]
    monkeypatch.setattr("seu_plugin.campaign.evaluation.digest_of", lambda model: digest)
    output = tmp_path / folder.name
    shutil.copytree(folder, output)
    model, calls = toy.net(), []

    def accuracy():
        calls.append(1)
        with torch.no_grad():
            model(toy.batch(64))
        return 100.0

    plan = {key: there["plan"][key] for key in ("ber", "trials", "threshold", "sensitivity")}
    settings = {**plan, "seed": there["seed"], "output": str(output), **SETTINGS[folder.name]}
    with pytest.raises(ConfigError, match="sampling: plain goes on with it"):
        Campaign(model, accuracy, **settings).run()
    calls.clear()
    Campaign(model, accuracy, **settings, sampling="plain").run()
    assert calls == [1]  # the golden run
    assert (output / TRIALS).read_text() == (folder / TRIALS).read_text()
