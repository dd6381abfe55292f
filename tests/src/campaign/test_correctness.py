"""Labels: taken from the loader as the host iterates it, and believed only if they fit."""

import numpy as np
import pytest
import torch

import toy
from rfquant_hooks.contract import PhaseOutcome
from seu_plugin import Campaign
from seu_plugin.analysis.images import TwoWay
from seu_plugin.analysis.packed_bits import unpacked
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.campaign.correctness import Correctness, Images, Labelled, Scored, scores_of
from seu_plugin.campaign.host_data import HostData
from seu_plugin.campaign.outcomes import OutputRecorder
from seu_plugin.errors import ConfigError

LABELS = torch.tensor([0, 1, 2, 1, 0, 2])


def loader(batch_size=4):
    images = torch.eye(3)[LABELS]
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, LABELS), batch_size=batch_size
    )


def recorded(batches, wrong=()):
    """What a network that is right but for the images ``wrong`` would give."""
    recorder, seen = OutputRecorder(), 0
    for inputs, _ in batches:
        output = inputs.clone()
        for i in wrong:
            if seen <= i < seen + len(output):
                output[i - seen] = output[i - seen].roll(1)
        seen += len(output)
        recorder(output)
    return recorder.taken()


def second(batch):
    return batch[1]


def watched(data, read=second):
    host = HostData(data)
    return host, Images(Labelled(host, read))


def test_labels_are_watched_and_the_loader_is_as_before():
    data = loader()
    before, own = dict(vars(data)), type(data)
    host, images = watched(data)
    with host.golden(images.note):
        assert isinstance(data, own) and len(data) == 2
        golden = recorded(data, wrong=[1])
    assert type(data) is own and vars(data) == before
    right = images.begin(PhaseOutcome(None, (100 * 5 / 6,)), golden)
    assert unpacked(right[0], 6).tolist() == [True, False, True, True, True, True]
    after = PhaseOutcome(None, (100 * 4 / 6,))
    changed = images.changed(after, recorded(data, wrong=[0, 4]))
    assert np.flatnonzero(unpacked(changed.images[0], 6)).tolist() == [0, 1, 4]
    assert changed.wrong_to_wrong == (0,)
    assert images.unchanged() == (("",), (0,))
    assert images.number == 6 and images.why is None


def test_the_loader_is_given_back_after_an_error():
    data = loader()
    with pytest.raises(KeyError), HostData(data).golden():
        next(iter(data))
        raise KeyError
    assert type(data) is torch.utils.data.DataLoader


def test_architectures_are_told_apart():
    data = loader()
    host, images = watched(data)
    with host.golden(images.note):
        one, two = recorded(data), recorded(data, wrong=[2, 3])
    both = tuple(torch.cat(parts) for parts in zip(one, two))
    right = images.begin(PhaseOutcome(None, (100.0, 100 * 4 / 6)), both)
    assert [int(unpacked(r, 6).sum()) for r in right] == [6, 4]


def test_labels_that_do_not_make_the_accuracy_are_not_believed():
    data = loader()
    host, images = watched(data, lambda batch: batch[1].flip(0))
    with host.golden(images.note):
        golden = recorded(data)
    assert images.begin(PhaseOutcome(None, (100.0,)), golden) is None
    assert "do not make the accuracy" in images.why
    assert images.changed(PhaseOutcome(None, (100.0,)), golden) is None


@pytest.mark.parametrize(
    ("data", "read", "told"),
    [
        ([(torch.eye(3), torch.arange(3))], second, "a list cannot be watched for labels"),
        (loader(), lambda batch: None, "could not be matched"),
        (loader(), lambda batch: torch.eye(2), "could not be matched"),
    ],
)
def test_what_is_not_known_is_said(data, read, told):
    host, images = watched(data, read)
    with host.golden(images.note):
        golden = recorded([(torch.eye(3), None)] if isinstance(data, list) else data)
    assert images.begin(PhaseOutcome(None, (100.0,)), golden) is None
    assert told in images.why


def test_nothing_is_known_without_a_source():
    images = Images(Correctness())
    assert images.begin(PhaseOutcome(None, (100.0,)), None) is None
    assert "no labels" in images.why


@pytest.mark.parametrize("value", [98.0, [98.0, 97.0], torch.tensor(98.0), np.array([98.0])])
def test_an_accuracy_is_no_scores(value):
    assert scores_of(value) is None


def test_scores_have_a_range():
    with pytest.raises(ConfigError, match=r"0 \.\.\. 1 an image"):
        scores_of(np.array([0.0, 2.0]))
    halves = Scored().of(PhaseOutcome(np.array([0.5, 1.0]), (75.0,)), None)
    assert halves.classes is None and halves.right.tolist() == [[32768, 65535]]


def campaign(output, make, **settings):
    model, reference = toy.net(), []

    def evaluate():
        with torch.no_grad():
            found = model(toy.batch(64)).argmax(1)
        if not reference:
            reference.append(found)
        return make(found == reference[0])

    given = {"ber": [1e-3, 1e-2], "trials": 6, "threshold": "grid", "seed": 1, **settings}
    return Campaign(model, evaluate, output=str(output), **given)


def test_from_python_a_score_an_image(tmp_path):
    campaign(tmp_path / "plain", lambda right: 100.0 * float(right.float().mean())).run()
    summary = campaign(tmp_path / "scores", lambda right: right).run()
    rows = read_rows(tmp_path / "scores" / TRIALS)[0]
    assert rows[0].images == 64
    for one, other in zip(rows, read_rows(tmp_path / "plain" / TRIALS)[0]):
        assert one.metrics == pytest.approx(other.metrics) and one.trial == other.trial
        changed = unpacked((one.changed or one.right)[0], 64)
        assert 100 * changed.mean() == pytest.approx(
            one.metrics[0] if one.changed is None else 100 - one.metrics[0]
        )
    for row in summary.bers:
        assert row.drop_two_way_interval.high >= row.drop_normal_interval.high
    page = (tmp_path / "scores" / "report.html").read_text()
    assert "Other images too" in page and "interval over other images" in page
    page = (tmp_path / "plain" / "report.html").read_text()
    assert "which no interval here covers (evaluate returns an accuracy" in page


def test_scores_between_0_and_1_cover_other_images_too(tmp_path):
    whole = campaign(tmp_path / "whole", lambda right: right).run()
    halves = campaign(tmp_path / "halves", lambda right: right.float() * 0.5 + 0.25).run()
    assert halves.golden == (75.0,)
    for one, other in zip(whole.bers, halves.bers):
        assert other.drop == pytest.approx(one.drop / 2, abs=1e-3)
        wide, narrow = one.drop_two_way_interval, other.drop_two_way_interval
        if wide.high < one.drop + 40.0 and wide.high < 99.0:  # not for any law, nor cut
            assert narrow == pytest.approx([end / 2 for end in wide], abs=1e-2)
        assert other.right_to_wrong is None and other.wrong_to_wrong is None
    assert "Other images too" in (tmp_path / "halves" / "report.html").read_text()


def test_another_wrong_class_is_counted():
    data = loader()
    host, images = watched(data)
    with host.golden(images.note):
        golden = recorded(data, wrong=[1, 2, 3])
    assert images.begin(PhaseOutcome(None, (50.0,)), golden)
    hashes, classes, finite, *_ = golden
    classes, finite = classes.clone(), finite.clone()
    classes[1] = 3 - classes[1] - LABELS[1]  # the third class
    finite[2] = False
    classes[0] = (LABELS[0] + 1) % 3
    changed = images.changed(PhaseOutcome(None, (100 * 2 / 6,)), (hashes, classes, finite))
    assert changed.wrong_to_wrong == (2,)
    assert np.flatnonzero(unpacked(changed.images[0], 6)).tolist() == [0]


def test_a_score_that_is_whole_in_one_run_alone():
    images = Images(Scored())
    assert images.begin(PhaseOutcome(np.array([1.0, 0.0, 1.0]), (100 * 2 / 3,)), None)
    changed = images.changed(PhaseOutcome(np.array([1.0, 0.5, 0.0]), (50.0,)), None)
    two = TwoWay(np.array([True, False, True]))
    two.add(unpacked(changed.images[0], 3))
    assert two.rows == pytest.approx([100 * 0.5 / 3], abs=1e-2)


class OwnIterator:
    """A loader that is its own iterator, and says how long it is."""

    def __init__(self):
        self.batches, self.position = list(loader()), 0

    def __iter__(self):
        self.position = 0
        return self

    def __len__(self):
        return len(self.batches)

    def __next__(self):
        if self.position == len(self.batches):
            raise StopIteration
        self.position += 1
        return self.batches[self.position - 1]


def test_a_loader_may_be_its_own_iterator():
    data = OwnIterator()
    host, images = watched(data)
    with host.golden(images.note):
        assert len(iter(data)) == 2
        golden = recorded(data, wrong=[1])
    assert type(data) is OwnIterator and len(list(data)) == 2
    assert images.begin(PhaseOutcome(None, (100 * 5 / 6,)), golden) is not None


class Indexed:
    def __getitem__(self, i):
        return [torch.eye(3), torch.arange(3)][i]


class Guarded(OwnIterator):
    def __init_subclass__(cls, **kwargs):
        raise RuntimeError("not to be derived from")


def test_an_error_of_the_golden_run_is_not_blamed_on_the_watch():
    with pytest.raises(KeyError) as caught, HostData([1]).golden():
        raise KeyError("of the host")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("data", [Indexed(), (n for n in range(3)), iter([1]), Guarded()])
def test_loaders_that_cannot_be_watched_work_as_before(data):
    own, (host, images) = type(data), watched(data)
    with host.golden(images.note):
        assert len(list(data)) > 0
    assert type(data) is own
    assert images.begin(PhaseOutcome(None, (100.0,)), None) is None
    assert "cannot be watched" in images.why


def test_an_iterator_that_outlives_the_golden_run_is_watched_no_more():
    data = loader(batch_size=1)
    host = HostData(data)
    source = Labelled(host, second)
    with host.golden(source.note):
        left = iter(data)
        next(left)
    assert len(list(left)) == 5
    assert len(source._labels) == 1


def test_images_of_a_trial_that_do_not_make_its_accuracy_are_not_believed():
    """A loader that shuffles by itself: the same accuracy, of other images."""
    data = loader()
    host, images = watched(data)
    with host.golden(images.note):
        golden = recorded(data)
    images.begin(PhaseOutcome(None, (100.0,)), golden)
    shuffled = tuple(part.flip(0) for part in golden)
    assert images.changed(PhaseOutcome(None, (100.0,)), shuffled) is None


@pytest.mark.parametrize(
    "value",
    [
        np.array(["a", "b"]),
        np.array([1j, 0.0]),
        np.array([None, 1.0]),
        torch.tensor([1 + 1j, 0.0]),
    ],
)
def test_arrays_that_are_no_scores_are_refused_in_one_line(value):
    with pytest.raises(ConfigError, match="a score in 0"):
        scores_of(value)


def test_scores_and_accuracies_may_be_bfloat16():
    assert scores_of(torch.tensor(93.0, dtype=torch.bfloat16)) is None
    assert scores_of(torch.ones(3, dtype=torch.bfloat16)).tolist() == [1.0] * 3


def test_scores_of_a_poor_network_are_no_fraction(tmp_path):
    summary = campaign(tmp_path, lambda right: right & (torch.arange(64) == 5)).run()
    assert summary.golden == (100 / 64,)


def test_outputs_that_are_not_finite_are_right_where_the_host_has_them_right():
    data = loader()
    host, images = watched(data)
    with host.golden(images.note):
        hashes, classes, finite, _ = recorded(data)
    assert images.begin(PhaseOutcome(None, (100.0,)), (hashes, classes, finite))
    broken = classes.clone(), finite.clone()
    broken[0][:], broken[1][:] = 0, False  # argmax of NaN
    right = 100 * float((LABELS == 0).double().mean())
    changed = images.changed(PhaseOutcome(None, (right,)), (hashes, *broken))
    assert unpacked(changed.images[0], 6).tolist() == (LABELS != 0).tolist()


def test_a_list_of_scores_is_not_taken_for_architectures(tmp_path):
    with pytest.raises(ConfigError, match=r"shape \[images\] with a score in 0 \.\.\. 1"):
        campaign(tmp_path, lambda right: right.double().tolist()).run()
    assert not (tmp_path / TRIALS).exists()
