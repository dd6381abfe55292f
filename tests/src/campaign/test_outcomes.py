"""Outcomes of images, from outputs made by hand."""

import pytest
import torch

from seu_plugin.analysis.trials import Outcomes
from seu_plugin.campaign.outcomes import OutputRecorder, against, compare
from seu_plugin.errors import InjectionError


def recorded(*outputs):
    recorder = OutputRecorder()
    for output in outputs:
        recorder(output)
    return recorder.taken()


GOLDEN = torch.tensor([[1.0, 2.0, 3.0], [5.0, 4.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])


def test_each_kind_of_outcome():
    faulted = GOLDEN.clone()
    faulted[1, 2] = 1.0  # changed, top-1 the same
    faulted[2, 0] = 9.0  # another top-1
    faulted[3, 1] = float("nan")
    assert compare(recorded(GOLDEN), recorded(faulted)) == Outcomes(1, 1, 1, 1)


def test_infinity_is_no_number_either():
    faulted = GOLDEN.clone()
    faulted[0, 2] = float("inf")  # the top-1 class would be the same
    assert compare(recorded(GOLDEN), recorded(faulted)) == Outcomes(3, 0, 0, 1)


def test_the_smallest_change_is_seen():
    for row in range(4):
        for column in range(3):
            faulted = GOLDEN.clone()
            faulted[row, column] = torch.nextafter(faulted[row, column], torch.tensor(99.0))
            assert compare(recorded(GOLDEN), recorded(faulted)).masked == 3


def test_swapped_values_are_a_change():
    swapped = GOLDEN[:, [1, 0, 2]]
    assert compare(recorded(GOLDEN), recorded(swapped)).masked == 1  # [0, 0, 1]


def test_batches_do_not_matter():
    parts = recorded(GOLDEN[:1], GOLDEN[1:])
    assert compare(recorded(GOLDEN), parts) == Outcomes(4, 0, 0, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    golden = GOLDEN.to(dtype)
    assert compare(recorded(golden), recorded(golden * 2)) == Outcomes(0, 4, 0, 0)


@pytest.mark.parametrize("output", [(GOLDEN,), GOLDEN.long(), GOLDEN[0], None])
def test_outputs_of_another_form_cannot_be_compared(output):
    assert recorded(GOLDEN, output) is None
    assert compare(None, recorded(GOLDEN)) is None


def test_no_output_is_nothing_to_compare():
    assert recorded() is None


def test_another_number_of_images_is_an_error():
    with pytest.raises(InjectionError, match="outputs for 4 images and a trial for 3"):
        compare(recorded(GOLDEN), recorded(GOLDEN[:3]))


def seen_after(golden, *outputs):
    """What a recorder keeps of a trial after the golden run ``golden``."""
    recorder = OutputRecorder()
    recorder(golden)
    first = recorder.taken()
    recorder.golden = first[1]
    for output in outputs:
        recorder(output)
    return first, recorder.taken()


def test_the_margin_is_that_of_the_golden_class():
    """Margins 1, 1, 1, 1; then 1, -0.5 (another class wins), 1, and one that is no number."""
    faulted = GOLDEN.clone()
    faulted[1, 2] = 5.5
    faulted[3, 1] = float("nan")
    first, second = seen_after(GOLDEN, faulted[:1], faulted[1:])
    assert second[3][:3].tolist() == [1.0, -0.5, 1.0]
    assert against(first, second)["margin"] == pytest.approx(-1.5 / 3)


def test_a_margin_is_bounded_by_the_largest_of_the_golden_run():
    faulted = GOLDEN.clone()
    faulted[1] = torch.tensor([-3e38, 3e38, 0.0])
    first, second = seen_after(GOLDEN, faulted)
    assert second[3][1] == pytest.approx(-6e38)
    assert against(first, second)["margin"] == pytest.approx(-2 / 4)


def test_a_margin_moves_where_no_class_does():
    faulted = GOLDEN.clone()
    faulted[0, 1] = 2.5
    found = against(*seen_after(GOLDEN, faulted))
    assert found["outcomes"].critical == 0
    assert found["margin"] == pytest.approx(-0.5 / 4)


def test_of_no_finite_output_there_is_no_margin():
    broken = torch.full_like(GOLDEN, float("nan"))
    assert against(*seen_after(GOLDEN, broken))["margin"] is None
    assert against(None, None) == {"outcomes": None, "margin": None}
