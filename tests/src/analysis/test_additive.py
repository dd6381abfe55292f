"""The sum over strata beside the drop at a BER: closed forms, coverage, and what makes it wrong."""

import numpy as np
import pytest
from scipy import stats

from made_up import golden, results, sensitivity, summary
from seu_plugin.analysis.additive import Stratum, additive, allocated, sentence
from seu_plugin.analysis.by_ber import BerSummary, by_bers
from seu_plugin.analysis.drops import Drops
from seu_plugin.settings.campaign import CampaignSettings


def row(ber, *drops):
    from seu_plugin.analysis.trials import Trial, TrialResult

    rows = [TrialResult(Trial(n, ber), (98.0 - drop,)) for n, drop in enumerate(drops)]
    (found,) = by_bers(0, {ber: rows}, {ber: Drops(tuple(drops), 98.0)}, CampaignSettings())
    assert isinstance(found, BerSummary)
    return found


def test_the_sum_by_hand():
    """1,000 bits with 0.5 points an upset and 9,000 with 0.1: 1,400 points at BER 1."""
    strata = [Stratum(1000, 10, 0.5, 0.0, True), Stratum(9000, 10, 0.1, 0.0, True)]
    (found,) = additive(strata, 10_000, [row(1e-3, 1.4, 1.5, 1.3)], 0.95)
    assert found.foretold == pytest.approx(1.4)
    assert found.foretold_interval == (pytest.approx(1.4), pytest.approx(1.4))
    assert found.drop == pytest.approx(1.4) and found.agree


def test_one_stratum_has_the_interval_of_student():
    strata = [Stratum(1000, 10, 0.5, 0.2, False)]
    (found,) = additive(strata, 1000, [row(1e-3, 0.5, 0.6)], 0.9)
    half = stats.t(9).ppf(0.95) * 0.2 / 10**0.5
    assert found.foretold_interval.high - found.foretold == pytest.approx(half)


def test_strata_without_a_drop_are_not_without_doubt():
    strata = [Stratum(500, 5, 0.0, 0.0, False), Stratum(500, 5, 0.4, 0.1, False)]
    (found,) = additive(strata, 1000, [row(1e-3, 0.2, 0.3)], 0.95)
    alone = additive(strata[1:], 500, [row(1e-3, 0.2, 0.3)], 0.95)[0].foretold_interval
    low, high = found.foretold_interval
    assert high - low > alone.high - alone.low


def test_strata_that_leave_a_part_out_say_nothing():
    strata = [Stratum(500, 5, 0.4, 0.1, False)]
    assert additive(strata, 1000, [row(1e-3, 0.2, 0.3)], 0.95) == ()
    assert additive([], 0, [row(1e-3, 0.2, 0.3)], 0.95) == ()


def test_upsets_that_interact_are_told_of():
    strata = [Stratum(1000, 10, 0.5, 0.0, True)]
    rows = [row(1e-3, 0.5, 0.52, 0.48), row(1e-2, 9.0, 9.1, 8.9)]
    found = additive(strata, 1000, rows, 0.95)
    assert [one.agree for one in found] == [True, False]
    assert sentence(found) == (
        "the sum over strata foretells the drop at BER 0.001, within both intervals; not at 0.01 "
        "(foretold 5, found 9): upsets interact"
    )


def test_sums_far_beyond_an_accuracy_are_left_out():
    strata = [Stratum(1000, 10, 0.5, 0.0, True)]
    assert len(additive(strata, 1000, [row(1e-3, 1, 2), row(0.1, 50, 60)], 0.95)) == 1


def test_of_upsets_that_do_not_interact_the_check_holds_as_often_as_it_says():
    """Strata whose drops an upset are known laws; trials at a BER that add independent upsets."""
    generator = np.random.Generator(np.random.Philox(6))
    bits, means, ber, n = (4000, 16_000), (0.4, 0.05), 1e-3, 1000
    agreed = 0
    for _ in range(n):
        strata = []
        for size, mean in zip(bits, means):
            drops = generator.exponential(mean, 40)
            strata.append(Stratum(size, 40, drops.mean(), drops.std(ddof=1), False))
        upsets = [generator.binomial(size, ber, 40) for size in bits]
        found = [
            sum(generator.exponential(mean, k).sum() for mean, k in zip(means, several))
            for several in zip(*upsets)
        ]
        agreed += additive(strata, sum(bits), [row(ber, *found)], 0.95)[0].agree
    assert 0.92 <= agreed / n <= 0.99


def test_a_campaign_with_a_study_of_the_whole_memory_has_the_check():
    rows, strata = sensitivity(by=("layer", "bit"))
    each = golden().bits // len(strata)
    whole = dict.fromkeys(strata, each)
    whole[next(iter(whole))] += golden().bits - each * len(strata)
    found = summary([*results(), *rows], whole)
    assert [one.ber for one in found.additive] == [1e-4]


def test_neyman_by_hand():
    """1,000 bits of deviation 0.3 and 3,000 of 0.1 share evenly; what was all tried gets none."""
    strata = [
        Stratum(1000, 10, 0.5, 0.3, False),
        Stratum(3000, 10, 0.1, 0.1, False),
        Stratum(50, 50, 0.1, 0.5, True),
    ]
    assert allocated(strata, 101) in ([51, 50, 0], [50, 51, 0])
    assert allocated(strata[2:], 10) == [0]


def test_neyman_makes_the_sum_better_known():
    generator = np.random.Generator(np.random.Philox(9))
    bits, scale = (1000, 1000, 20_000), (2.0, 0.01, 0.001)

    def study(numbers):
        found = []
        for size, mean, n in zip(bits, scale, numbers):
            drops = generator.exponential(mean, n)
            found.append(Stratum(size, n, drops.mean(), drops.std(ddof=1), False))
        return found

    pilot = study((10, 10, 10))
    more = allocated(pilot, 90)
    assert sum(more) == 90 and more[0] > 80

    def wide(numbers):
        (found,) = additive(study(numbers), sum(bits), [row(1e-3, 1.0, 2.0)], 0.95)
        return found.foretold_interval.high - found.foretold_interval.low

    even = np.mean([wide((40, 40, 40)) for _ in range(200)])
    best = np.mean([wide([10 + one for one in more]) for _ in range(200)])
    assert best < 0.8 * even
