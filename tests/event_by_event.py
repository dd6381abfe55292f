"""A memory hit by particles one by one, and what it does to a made-up network: written apart from
the package, to hold its missions against."""

import numpy as np

#: Cells of the memory; those from CRITICAL on cost little each.
CELLS, CRITICAL = 400, 12


def drop(wrong):
    """Percentage points that a network loses whose ``wrong`` cells (a boolean array) are upset."""
    return 1.6 * float(wrong[:CRITICAL].sum()) + 0.05 * float(wrong[CRITICAL:].sum())


def mission(generator, rate, duration, period, sweeping, max_drop):
    """(share of the time in which the drop is at most ``max_drop``, mean drop over time) of one
    mission, followed from event to event."""
    n = generator.poisson(rate * CELLS * duration)
    times = generator.uniform(0.0, duration, n).tolist()
    events = list(zip(times, generator.integers(0, CELLS, n).tolist()))
    if sweeping:
        rounds = int(duration / period) + 1
        scrubs = [((n + c / CELLS) * period, c) for n in range(rounds) for c in range(CELLS)]
    else:
        scrubs = [(n * period, None) for n in range(1, int(duration / period) + 1)]
    steps = sorted(
        [(time, 1, cell) for time, cell in events]
        + [(time, 0, cell) for time, cell in scrubs if time < duration],
        key=lambda step: step[:2],
    )
    wrong = np.zeros(CELLS, dtype=bool)
    now = available = lost = 0.0
    cost = 0.0
    for time, is_event, cell in [*steps, (duration, 1, None)]:
        available += (time - now) * (cost <= max_drop)
        lost += (time - now) * cost
        now = time
        if cell is None:
            wrong[:] = False
            cost = 0.0
        elif is_event:
            wrong[cell] = not wrong[cell]
            cost = drop(wrong)
        elif wrong[cell]:
            wrong[cell] = False
            cost = drop(wrong)
    return available / duration, lost / duration
