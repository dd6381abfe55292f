"""The planner against every assignment there is."""

from itertools import product

import pytest

from seu_plugin.analysis.planner import Part, _choices, _residual, plan, strongest
from seu_plugin.errors import ConfigError
from seu_plugin.memory.layout import MemorySettings
from seu_plugin.memory.protection import ProtectionRule

PARTS = [
    Part("conv1", 400, 8, (0.001,) * 8),
    Part("layer1", 4000, 4, (0.0, 0.0, 0.002, 0.02)),
    Part("fc", 640, 3, (0.0, 0.001, 0.004)),
]
SCHEMES = ("parity", "secded_72_64", "secded_39_32", "tmr")


def best(parts, ber, max_drop, schemes):
    rates = {scheme: _residual(scheme, ber, "reload") for scheme in schemes}
    options = [_choices(part, ber, rates, MemorySettings()) for part in parts]
    fit = [c for c in product(*options) if sum(one.drop for one in c) <= max_drop]
    return min(sum(one.cost for one in c) for c in fit)


@pytest.mark.parametrize("max_drop", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("schemes", [SCHEMES, ("tmr",), ("secded_39_32", "tmr")])
def test_no_assignment_is_cheaper(max_drop, schemes):
    try:
        found = plan(PARTS, 1e-3, max_drop, schemes)
    except ConfigError:
        with pytest.raises(ValueError, match="min"):
            best(PARTS, 1e-3, max_drop, schemes)
        return
    assert found.cost == best(PARTS, 1e-3, max_drop, schemes)
    assert found.drop <= max_drop and found.cost == sum(c.cost for c in found.choices.values())


def test_what_costs_nothing_is_chosen_where_nothing_is_needed():
    found = plan(PARTS, 1e-6, 1.0, SCHEMES)
    assert found.cost == 0 and found.rules("reload") == []
    assert found.drop == pytest.approx(found.unprotected)


def test_only_the_bits_that_matter_are_guarded():
    found = plan(PARTS[1:2], 1e-3, 0.005, ("tmr",))
    assert found.choices["layer1"].bits == 2
    assert found.rules("reload") == [
        {"scheme": "tmr", "layers": {"include": ["layer1"]}, "bits": [2, 3]}
    ]


def test_rules_are_what_the_section_takes():
    found = plan(PARTS, 1e-3, 0.002, SCHEMES)
    for rule in found.rules("zero"):
        assert ProtectionRule(**rule).scheme == rule["scheme"]


def test_a_target_out_of_reach_says_what_can_be_had():
    with pytest.raises(ConfigError, match=r"within 10 bits: .* leaves .* at .* bits"):
        plan(PARTS, 1e-3, 0.002, SCHEMES, budget=10)


def test_the_strongest_plan_guards_every_site():
    found = strongest(PARTS, 1e-3, SCHEMES)
    assert {(c.scheme, c.bits) for c in found.choices.values()} == {
        ("secded_39_32", 8),
        ("secded_39_32", 4),
        ("secded_39_32", 3),
    }
    assert found.drop < 0.01 * found.unprotected
    with pytest.raises(ConfigError, match="for every site takes"):
        strongest(PARTS, 1e-3, SCHEMES, budget=found.cost - 1)
