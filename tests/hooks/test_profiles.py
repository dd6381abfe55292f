"""What the profile says of RFQuant, and how it reads and writes the host's values."""

import pytest

from rfquant_hooks import RFQUANT, BitWidths, HostProfile, PhaseFunction, PluginError
from rfquant_hooks.profiles import as_predefined_architectures, no_metrics, top1_per_architecture


def profile(*phases):
    return HostProfile("fork", phases, ("util.config", "get_config"), ("quan.utils", "build"))


def test_the_phases_of_rfquant():
    assert [p.phase for p in RFQUANT.phases] == ["train", "validate", "calibrate", "search"]


@pytest.mark.parametrize("module", ["process", "util.utils", "util.config", "quan.utils"])
def test_rfquant_must_have(module):
    assert RFQUANT.modules()[module] is True


def test_rfquant_may_lack_its_search():
    assert RFQUANT.modules()["util.greedy_search"] is False


@pytest.mark.parametrize("required", [(True, False), (False, True)])
def test_a_module_is_required_if_one_of_its_phases_is(required):
    pairs = zip(("train", "validate"), required)
    phases = [PhaseFunction(name, "process", name, required=r) for name, r in pairs]
    assert profile(*phases).modules()["process"] is True


def test_a_phase_of_another_name_is_refused():
    with pytest.raises(PluginError, match="received 'validation'; did you mean 'validate'"):
        PhaseFunction("validation", "process", "validate")


def test_an_optional_phase_does_not_make_the_configuration_module_optional():
    optional = PhaseFunction("train", "util.config", "train", required=False)
    assert profile(optional).modules()["util.config"] is True


@pytest.mark.parametrize("value", [[70, 60.5], (70, 60.5)])
def test_top1_is_a_tuple_of_floats(value):
    metrics = top1_per_architecture(value)
    assert metrics == (70.0, 60.5)
    assert all(type(m) is float for m in metrics)


@pytest.mark.parametrize("value", [None, 71.5, "71.5", {"top1": 71.5}])
def test_a_value_that_is_no_list_has_no_metrics(value):
    assert top1_per_architecture(value) == ()


@pytest.mark.parametrize("value", [[None], (71.5, {"loss": 2.0}), [("arch", 71.5)], [10**400]])
def test_a_list_of_a_fork_that_holds_no_accuracies_has_no_metrics(value):
    assert top1_per_architecture(value) == ()


def test_phases_have_no_metrics_unless_the_profile_says_how_to_read_them():
    assert no_metrics([71.5]) == ()


def test_widths_are_written_as_one_predefined_architecture():
    assert as_predefined_architectures(BitWidths((4, 3), (6, 5))) == [([4, 3], [6, 5])]
