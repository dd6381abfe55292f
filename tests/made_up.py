"""A made-up campaign, for the tests of what is made from one."""

import numpy as np

from seu_plugin.analysis.summary import summarize
from seu_plugin.analysis.trials import Outcomes, Trial, TrialResult
from seu_plugin.settings.campaign import CampaignSettings

BERS = (1e-4, 1e-3, 1e-2)
SITES = ("conv1", "layer1.0.<conv2>", "fc")
MANIFEST = {
    "identity": {"section": {"bits": "all"}, "widths": {"fc": [8]}, "model": "abc"},
    "seed": 42,
    "versions": {"torch": "2.13"},
    "command": ["python", "main.py", "a b.yaml"],
    "cwd": "/somewhere",
}


def results(bers=BERS, trials=6, architectures=1, spread=1.0, outcomes=True):
    generator = np.random.Generator(np.random.Philox(1))
    found = []
    for ber in bers:
        for number in range(trials):
            drop = 2000 * ber * (1 + spread * float(generator.uniform(-0.5, 0.5)))
            found.append(
                TrialResult(
                    Trial(number, ber),
                    tuple(98.0 - drop - a for a in range(architectures)),
                    int(1e5 * ber),
                    upsets_by_site=dict.fromkeys(SITES, 3),
                    outcomes=Outcomes(50, 40, 9, 1) if outcomes else None,
                )
            )
    return found


def sensitivity(by=("layer", "bit"), trials=4):
    found, strata = [], {}
    for site in SITES if "layer" in by else (None,):
        for bit in range(3) if "bit" in by else (None,):
            for number in range(trials):
                trial = Trial(number, None, site, bit, 1)
                drop = (bit or 0) * 0.5 + number * 0.1
                found.append(TrialResult(trial, (98.0 - drop,), 1))
            strata[found[-1].trial.id.rpartition(":")[0]] = 100
    return found, strata


def golden(architectures=1):
    return TrialResult(Trial(0), tuple(98.0 - a for a in range(architectures)), bits=100_000)


def summary(rows=None, strata=None, architectures=1, **campaign):
    rows = results(architectures=architectures) if rows is None else rows
    settings = CampaignSettings(sensitivity={} if strata else None, **campaign)
    return summarize(golden(architectures), rows, settings, strata or {})
