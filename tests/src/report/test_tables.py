"""What people read."""

from dataclasses import replace

import made_up
from seu_plugin.console import print_table
from seu_plugin.report.tables import accuracy_lines, campaign_table


def test_bits_read_wrong_are_told_of_protected_memory_alone(capsys):
    rows = [replace(r, residual=10, corrected=7, detected=3) for r in made_up.results()]
    for results, told in ((made_up.results(), False), (rows, True)):
        print_table(campaign_table(made_up.summary(results)))
        assert ("Read wrong" in capsys.readouterr().out) == told


def test_accuracies_of_one_architecture():
    assert accuracy_lines([99.0], [91.5], "BER 0.01") == [
        "golden accuracy:  99.00 %",
        "faulted accuracy: 91.50 % at BER 0.01",
        "accuracy drop:    7.50 percentage points",
    ]


def test_accuracies_of_several_architectures_are_numbered():
    lines = accuracy_lines([99.0, 98.0], [91.5, 90.0], "BER 0.01")
    assert "faulted accuracy of architecture 1: 90.00 % at BER 0.01" in lines


def test_without_a_golden_run_no_drop_is_claimed():
    assert accuracy_lines([], [91.5], "BER 0.01") == ["faulted accuracy: 91.50 % at BER 0.01"]
