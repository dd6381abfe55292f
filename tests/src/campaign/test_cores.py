"""How workers and threads share the cores."""

import os

import pytest
import torch

from seu_plugin.campaign.cores import Shares, available, shared_out, threads_asked
from seu_plugin.errors import ConfigError
from seu_plugin.host.campaign import HostCampaign
from seu_plugin.settings.campaign import CampaignSettings
from seu_plugin.settings.section import parse_section


@pytest.mark.parametrize(
    ("workers", "threads", "cores", "gpus", "found"),
    [
        (None, None, 8, 0, (1, 8)),
        (None, 16, 8, 0, (1, 16)),  # of one process: its own affair
        (4, None, 8, 0, (4, 2)),
        (3, None, 8, 0, (3, 2)),
        (16, None, 8, 0, (16, 1)),
        (4, 2, 8, 0, (4, 2)),
        (1, 16, 8, 0, (1, 16)),
        (None, None, 8, 4, (4, 2)),
        (None, 2, 8, 4, (4, 2)),
        (None, 4, 8, 4, (2, 4)),
        (None, 16, 8, 4, (1, 16)),
        (None, 1, 2, 4, (2, 1)),
        (8, None, 16, 4, (8, 2)),  # asked for, whatever the GPUs
        (2, 1, 1, 0, (2, 1)),
    ],
)
def test_what_was_not_asked_for_is_made_to_fit(workers, threads, cores, gpus, found):
    assert shared_out(workers, threads, cores, gpus)[:2] == found


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ((None, None, 8), None),
        ((4, 2, 8), None),
        ((4, None, 8), "4 workers, with 2 CPU threads each of 8 cores"),
        ((4, None, 2), "warning: 4 workers, with 1 CPU thread each of 2 cores: slow"),
        ((2, 1, 1), "warning: 2 workers of 1 CPU thread each are more than 1 core: slow"),
        ((None, None, 8, 2), "2 workers, one for each GPU, with 4 CPU threads each of 8 cores"),
        (
            (None, 4, 8, 4),
            "2 workers, not one for each of 4 GPUs, as 4 CPU threads each are to fit on 8 cores",
        ),
    ],
)
def test_it_is_told_in_one_line(asked, line):
    assert shared_out(*asked).line == line


def test_both_asked_for_and_too_many_is_refused():
    told = r"workers: 4 workers of 8 CPU threads each are 32 threads on 16 cores"
    with pytest.raises(ConfigError, match=told) as error:
        shared_out(4, 8, 16)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("plan", "told", "asked"),
    [
        ({"threads": 3}, "2", 3),
        ({}, "2", 2),
        ({}, "4,2", 4),
        ({}, "none", None),
        ({}, "0", None),
        ({}, "", None),
    ],
)
def test_threads_are_asked_for_in_two_places(monkeypatch, plan, told, asked):
    monkeypatch.setattr(torch, "get_num_threads", available)
    found = threads_asked(CampaignSettings(**plan), {"OMP_NUM_THREADS": told})
    assert found == asked


def test_or_of_torch(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1000)
    assert threads_asked(CampaignSettings(), {}) == 1000


def test_cores_are_those_that_may_be_used():
    assert 1 <= available() <= (os.cpu_count() or 1)


def campaign(folder, said, config=None, **plan):
    plan = {"output": str(folder / "out"), **plan}
    section = parse_section({"seed": 1, "campaign": plan})
    return HostCampaign(section, config or {}, said.append)


@pytest.fixture
def cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", available)
    monkeypatch.setattr("seu_plugin.host.campaign.available", lambda: 8)


def test_a_campaign_is_refused_before_anything_runs(tmp_path, cores):
    said = []
    with pytest.raises(ConfigError, match="4 workers of 4 CPU threads each are 16 threads on 8"):
        campaign(tmp_path, said, workers=4, threads=4)
    assert not said and not (tmp_path / "out").exists()


def test_a_campaign_says_what_its_workers_have(tmp_path, cores):
    said = []
    found = campaign(tmp_path, said, workers=4)
    assert (found.parallel, found.threads) == (True, 2)
    assert said == ["4 workers, with 2 CPU threads each of 8 cores"]


def test_one_worker_a_gpu(tmp_path, cores, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    said = []
    assert campaign(tmp_path, said)._shares == Shares(2, 4, said[0])
    assert not campaign(tmp_path, said, workers=1).parallel
    assert not campaign(tmp_path, said, {"search": True}).parallel  # each would repeat it
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not campaign(tmp_path, said).parallel  # ranks run each trial together


def test_one_gpu_or_none_is_this_process(tmp_path, cores, monkeypatch):
    said = []
    for gpus in (0, 1):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert not campaign(tmp_path, said).parallel
    assert not said
