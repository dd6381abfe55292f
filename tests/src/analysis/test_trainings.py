"""Sets of trainings side by side: closed forms, coverage, and real folders."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

import toy
from seu_plugin import Campaign
from seu_plugin.analysis.trainings import compared_trainings, welch
from seu_plugin.commands import cli
from seu_plugin.errors import ConfigError


def test_welch_is_that_of_scipy():
    first, second = [97.0, 95.5, 96.2, 94.9], [98.1, 97.7, 98.4]
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.9)
    assert welch(first, second, 0.9) == pytest.approx((expected.low, expected.high))


def test_values_that_are_all_equal_say_nothing_of_a_width():
    assert welch([90.0, 90.0], [91.0, 91.0], 0.95) == (-np.inf, np.inf)


def test_welch_holds_as_often_as_it_says():
    generator = np.random.Generator(np.random.Philox(4))
    held = 0
    for _ in range(2000):
        first, second = generator.normal(90, 1, 8), generator.normal(92, 4, 8)
        low, high = welch(first.tolist(), second.tolist(), 0.95)
        held += low <= 2.0 <= high
    assert 0.935 <= held / 2000 <= 0.965


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    """A folder for each of two ways to train, each with three networks."""
    import torch

    root = tmp_path_factory.mktemp("trainings")
    batch = toy.batch(32)
    for way in ("plain", "other"):
        for number in range(3):
            model = toy.net()
            torch.manual_seed(10 * number + (way == "other"))
            with torch.no_grad():
                for parameter in model.fc.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
                labels = model(batch).argmax(1)
            folder = root / way / f"seed{number}"

            def accuracy(model=model, labels=labels):
                with torch.no_grad():
                    return float((model(batch).argmax(1) == labels).double().mean()) * 100.0

            asked = {"ber": [3e-3, 3e-2], "trials": 4, "threshold": "grid", "seed": 1}
            Campaign(model, accuracy, output=str(folder), max_drop=None, **asked).run()
    return root


def means(folder, ber):
    from seu_plugin.analysis.folders import summary_of

    (row,) = [row for row in summary_of([folder]).bers if row.ber == ber]
    return row.mean


def test_trainings_of_one_name_are_pairs(trainings):
    found = compared_trainings(trainings / "plain", trainings / "other")
    assert found.pairs == ["seed0", "seed1", "seed2"] and found.sizes == (3, 3)
    assert [row.ber for row in found.rows] == [0.0, 3e-3, 3e-2]
    row = found.rows[-1]
    each = [
        means(trainings / "other" / name, 3e-2) - means(trainings / "plain" / name, 3e-2)
        for name in found.pairs
    ]
    assert row.difference == pytest.approx(np.mean(each))
    assert row.extremes == (pytest.approx(min(each)), pytest.approx(max(each)))
    half = stats.t(2).ppf(0.975) * np.std(each, ddof=1) / 3**0.5
    assert row.interval.high - row.difference == pytest.approx(half)
    assert not found.maps_vary and found.differ == []


def test_trainings_of_other_names_are_no_pairs(trainings, tmp_path):
    shutil.copytree(trainings / "other", tmp_path / "other")
    (tmp_path / "other" / "seed0").rename(tmp_path / "other" / "seed9")
    found = compared_trainings(trainings / "plain", tmp_path / "other")
    assert found.pairs == [] and found.rows[1].extremes is None


def test_the_command_tells_what_is_sampled(trainings):
    arguments = ["compare", str(trainings / "plain"), str(trainings / "other")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    printed = " ".join(done.output.split())
    assert "over 3 pairs of trainings" in printed
    assert "all under the same fault maps. Fixed: these images" in printed


def test_a_set_of_one_training_is_an_error(trainings, tmp_path):
    shutil.copytree(trainings / "other" / "seed0", tmp_path / "few" / "seed0")
    with pytest.raises(ConfigError, match=r"few: must hold two folders .* it has 1"):
        compared_trainings(trainings / "plain", tmp_path / "few")


def test_a_set_and_a_campaign_do_not_go_together(trainings):
    with pytest.raises(ConfigError, match=r"seed0: must hold two folders .* it has 0"):
        compared_trainings(trainings / "plain", trainings / "other" / "seed0")


def test_a_picture_is_of_two_campaigns(trainings):
    arguments = ["compare", str(trainings / "plain"), str(trainings / "other")]
    done = CliRunner().invoke(cli, [*arguments, "--picture", "a.png"])
    assert done.exit_code != 0 and "not of sets" in str(done.output) + str(done.exception)
