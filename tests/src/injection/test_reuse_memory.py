"""What a campaign keeps of its golden run stays within the budget, by the process's own memory."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

import toy
from rfquant_hooks.contract import PhaseOutcome
from seu_plugin.analysis.trials import Trial
from seu_plugin.campaign.evaluation import Evaluation
from seu_plugin.campaign.host_data import HostData
from seu_plugin.campaign.reused import store_in
from seu_plugin.injection.reuse import Reuse
from seu_plugin.settings.section import parse_section

MB = 10**6
#: A tenth of what all golden outputs take, and of the data of a host.
BUDGET = 25 * MB
STATUS = Path("/proc/self/status")


class Batches:
    """Made as they are read: 16 of 1,024 images, of which a network makes 250 MB in all."""

    numbers, images = 16, 1024

    def __iter__(self):
        for number in range(self.numbers):
            generator = torch.Generator().manual_seed(number)
            yield torch.randn(self.images, 1, 8, 8, generator=generator)


class Large(Batches):
    """250 MB, of which a network sees little."""

    numbers, images = 60, 16 * 1024


def peak(kind, folder, budget):
    """Bytes that this process had at most in its runs, beyond those at first."""
    torch.set_num_threads(1)
    model, loader = toy.net(), Large() if kind == "data" else Batches()
    under = torch.inference_mode if kind == "inference_mode" else torch.no_grad

    def run():
        with under():
            outputs = [model(batch[:1024] if kind != "data" else batch[:4]) for batch in loader]
        return PhaseOutcome(None, (toy.percent(torch.cat(outputs)),))

    run()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    began = resident("VmRSS")
    reuse = Reuse(budget) if budget else None
    store = None if reuse is None else partial(store_in, Path(folder), reuse)
    data = HostData(loader, kind == "data", store)
    section = parse_section({"ber": 1e-3, "seed": 1})
    with Evaluation(model, run, section, reuse=reuse, data=data) as evaluation:
        if evaluation.check is not None:
            evaluation.check.left = 0  # no trial is run twice
        evaluation.golden()
        for number in range(4):
            evaluation.trial(Trial(number, 1e-3))
        assert data.replayed == (3 if budget and kind == "data" else 0)
    return resident("VmHWM") - began


def resident(name):
    (line,) = [one for one in STATUS.read_text().splitlines() if one.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="needs the /proc of Linux")
@pytest.mark.parametrize("kind", ["no_grad", "inference_mode", "data"])
def test_the_peak_of_a_campaign_stays_within_the_budget(tmp_path, kind):
    def measured(budget):
        done = subprocess.run(
            [sys.executable, __file__, kind, str(tmp_path), str(budget)],
            capture_output=True,
            text=True,
            # Memory that is freed leaves the process. Otherwise glibc raises this threshold with
            # each large block that is freed, and keeps what lies below it for later.
            env={
                **os.environ,
                "MALLOC_MMAP_THRESHOLD_": str(1 << 16),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout.splitlines()[-1])

    none = measured(0)
    some, everything = (measured(budget) - none for budget in (BUDGET, 100 * BUDGET))
    assert 0.5 * BUDGET < some <= 1.1 * BUDGET
    assert everything > 9 * BUDGET  # so that the budget was what kept it small


if __name__ == "__main__":
    print(peak(sys.argv[1], sys.argv[2], int(sys.argv[3])))
