"""The self-check knows a right run from a wrong one."""

import pytest
from scipy import stats

from seu_plugin.errors import InjectionError
from seu_plugin.injection.statistics import Counter, SiteStatistics, check_upsets, tail_probability


def site(upsets, bits=1_000_000, ber=1e-3, name="a"):
    return SiteStatistics(name=name, ber=ber, bits=bits, upsets=upsets)


@pytest.mark.parametrize("upsets", [0, 1, 900, 1000, 1100, 1300])
def test_tail_agrees_with_scipy_binom(upsets):
    law = stats.binom(1_000_000, 1e-3)
    expected = min(1.0, 2 * min(law.cdf(upsets), law.sf(upsets - 1)))
    assert tail_probability(upsets, 1_000_000, 1e-3) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("bits", [3_000_000_000, 10_000_000_000, 4_000_000_000_000])
def test_more_bits_than_32_bit_numbers_count(bits):
    expected = bits // 100_000
    check_upsets([site(expected, bits=bits, ber=1e-5)])
    for wrong in (expected // 2, expected * 2):
        with pytest.raises(InjectionError, match="self-check failed"):
            check_upsets([site(wrong, bits=bits, ber=1e-5)])


@pytest.mark.parametrize("upsets", [1000, 900, 1120])
def test_plausible_upsets_pass(upsets):
    check_upsets([site(upsets)])


@pytest.mark.parametrize("upsets", [0, 780, 1230])
def test_implausible_upsets_are_an_error_that_names_the_site(upsets):
    with pytest.raises(InjectionError, match="site 'a' had"):
        check_upsets([site(upsets)])


def test_sites_that_pass_alone_can_fail_together():
    sites = [site(1140, name=str(i)) for i in range(20)]
    with pytest.raises(InjectionError, match="all sites together"):
        check_upsets(sites)


def test_upsets_at_ber_zero_are_an_error():
    with pytest.raises(InjectionError):
        check_upsets([site(1, ber=0.0)])


def test_ber_one_upsets_every_bit():
    check_upsets([site(1_000_000, ber=1.0)])


def test_nothing_exposed_is_nothing_to_check():
    check_upsets([site(0, bits=0)])


def test_counter_freezes_in_order_of_widths():
    counter = Counter("a", bits=10)
    counter.widths.update({4: None, 3: None})
    frozen = counter.frozen(0.1)
    assert (frozen.widths, frozen.expected) == ((4, 3), 1.0)
