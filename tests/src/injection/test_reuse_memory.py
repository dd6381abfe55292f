"""What a campaign keeps of its golden run stays within the budget, by the process's own memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import toy
from seu_plugin import Campaign

BATCHES, IMAGES = 16, 1024
MB = 10**6
#: A tenth of what all golden outputs take.
BUDGET = 25 * MB
STATUS = Path("/proc/self/status")


def peak_of_a_campaign(output, settings):
    """Bytes that this process had at most until its last evaluation, beyond those at first; the
    report comes later, and would hide it."""
    torch.set_num_threads(1)
    model, batches = toy.net(), torch.randn(BATCHES, IMAGES, 1, 8, 8)

    peaks = []

    def evaluate():
        with torch.no_grad():
            found = toy.percent(torch.cat([model(batch) for batch in batches]))
        peaks.append(resident("VmHWM"))
        return found

    evaluate()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    began = resident("VmRSS")
    plan = {"ber": 1e-3, "trials": 4, "threshold": "grid", "sampling": "plain", "seed": 1}
    Campaign(model, evaluate, output=output, **plan, **settings).run()
    return peaks[-1] - began


def resident(name):
    (line,) = [one for one in STATUS.read_text().splitlines() if one.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="needs the /proc of Linux")
def test_the_peak_of_a_campaign_stays_within_the_budget(tmp_path):
    def peak(name, **settings):
        done = subprocess.run(
            [sys.executable, __file__, str(tmp_path / name), json.dumps(settings)],
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

    none = peak("none", reuse=False)
    some = peak("some", reuse_memory=BUDGET) - none
    everything = peak("everything", reuse_memory=100 * BUDGET) - none
    assert 0.5 * BUDGET < some <= 1.1 * BUDGET
    assert everything > 10 * BUDGET  # so that the budget was what kept it small


if __name__ == "__main__":
    print(peak_of_a_campaign(sys.argv[1], json.loads(sys.argv[2])))
