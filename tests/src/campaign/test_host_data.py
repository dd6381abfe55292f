"""A host's loader: read by the golden run and the first trial, and given again where it repeats."""

import errno
import json
import os
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset

import toy
from rfquant_hooks.contract import Phase, PhaseOutcome
from seu_plugin.analysis.folders import summary_of
from seu_plugin.analysis.rows import TRIALS
from seu_plugin.campaign.data_passes import Replayed
from seu_plugin.campaign.host_data import HostData
from seu_plugin.campaign.run_state import CpuGenerators, RunState
from seu_plugin.campaign.stored_batches import StoredBatches
from seu_plugin.errors import InjectionError
from seu_plugin.host.runtime import Runtime
from seu_plugin.settings.section import parse_section

IMAGES = toy.batch(12)
LABELS = torch.arange(12) % 10
BATCH = 12 * 64 * 4  # bytes of all images


class Counting(Dataset):
    """Says how often an image was read."""

    def __init__(self, augment=None):
        self.read, self.augment = 0, augment or (lambda image: image)

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, i):
        self.read += 1
        return self.augment(IMAGES[i]), LABELS[i]


class Streamed(IterableDataset):
    def __init__(self):
        self.read = 0

    def __iter__(self):
        for pair in zip(IMAGES, LABELS):
            self.read += 1
            yield pair


class OfMine:
    """No DataLoader: a class that yields batches."""

    def __init__(self):
        self.read = 0

    def __iter__(self):
        for start in range(0, len(IMAGES), 4):
            self.read += 4
            yield [IMAGES[start : start + 4].clone(), LABELS[start : start + 4].clone()]


def loader(augment=None, **options):
    return DataLoader(Counting(augment), batch_size=4, **options)


class Host:
    """Evaluates top-1 over ``data``, ``passes`` times; ``each`` is shown every batch."""

    def __init__(self, plugin, data, each=None, passes=1):
        self.plugin, self.data, self.passes = plugin, data, passes
        self.each = each or (lambda inputs, labels: None)
        self.model, self.after = toy.net(), []

    def run(self):
        accuracies = [self.evaluated() for _ in range(self.passes)]
        self.after.append(CpuGenerators())
        return PhaseOutcome(None, tuple(accuracies))

    def evaluated(self):
        right = seen = 0
        with torch.no_grad():
            for inputs, labels in self.data:
                right += int((self.model(inputs).argmax(1) == labels).sum())
                seen += len(labels)
                if self.each(inputs, labels):
                    break
        return 100.0 * right / seen

    def validate(self):
        phase = Phase("validate", self.model, {}, {}, None, None, self.data, lambda pair: pair[1])
        self.plugin.rfquant_run_phase(phase, self.run)


def campaign(folder, data, each=None, passes=1, section=None, **options):
    plan = {"ber": [1e-2, 1e-1], "trials": 3, "threshold": "grid", "output": str(folder)}
    asked = {"seed": 1, **(section or {}), "campaign": {**plan, **options}}
    host = Host(Runtime(parse_section(asked)), data, each, passes)
    host.validate()
    return host


def rows(folder):
    found = [json.loads(line) for line in (folder / TRIALS).read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


@pytest.fixture
def seen(monkeypatch):
    """The HostData of each campaign."""
    made = []
    own = HostData.__init__

    def init(self, *args, **kwargs):
        made.append(self)
        own(self, *args, **kwargs)

    monkeypatch.setattr(HostData, "__init__", init)
    return made


def both(folder, make, each=None, passes=1, **options):
    """Rows with and without reuse, which must be the same; and the campaign's loader."""
    data = make()
    torch.manual_seed(7)
    campaign(folder / "reuse", data, each, passes, **options)
    torch.manual_seed(7)
    campaign(folder / "read", make(), each, passes, **{**options, "reuse": False})
    assert rows(folder / "reuse") == rows(folder / "read")
    return data


@pytest.mark.parametrize("make", [loader, OfMine, lambda: DataLoader(Streamed(), batch_size=5)])
def test_data_are_read_twice_and_rows_are_the_same(tmp_path, make, seen):
    data = both(tmp_path, make)
    assert getattr(data, "dataset", data).read == 2 * 12
    assert seen[0].replayed == 5 and seen[1].replayed == 0
    assert "changed" in rows(tmp_path / "reuse")[-1]


def test_data_of_loader_processes_are_given_again(tmp_path, seen):
    both(tmp_path, lambda: loader(num_workers=1))
    assert seen[0].replayed == 5


def test_trials_with_maps_of_each_forward_are_given_data_again(tmp_path, seen):
    both(tmp_path, loader, section={"persistence": "per_forward"})
    assert seen[0].replayed == 5


def test_each_iteration_of_a_run_is_given_again(tmp_path, seen):
    data = both(tmp_path, loader, passes=3)
    assert data.dataset.read == 2 * 3 * 12 and seen[0].replayed == 3 * 5


def test_equal_batches_are_stored_once(tmp_path, monkeypatch):
    most = []
    own = StoredBatches.close
    monkeypatch.setattr(StoredBatches, "close", lambda self: (most.append(self.used), own(self)))
    campaign(tmp_path, loader(), passes=3)
    assert BATCH < max(most) < 2 * BATCH


def test_shuffled_data_are_given_again_and_the_generators_go_on(tmp_path, seen):
    after = []
    for reuse in (True, False):
        torch.manual_seed(7)
        host = campaign(tmp_path / str(reuse), loader(shuffle=True), passes=2, reuse=reuse)
        after.append((host.after, CpuGenerators()))
    assert after[0] == after[1]
    assert rows(tmp_path / "True") == rows(tmp_path / "False")
    assert seen[0].replayed == 2 * 5


def test_data_that_draw_as_they_go_are_read_each_time(tmp_path, seen):
    data = both(tmp_path, lambda: loader(lambda image: image + torch.rand(1)))
    assert seen[0].replayed == 0 and data.dataset.read == 7 * 12
    assert seen[0].differs is None


@pytest.mark.parametrize("reuse", [True, False])
def test_data_that_do_not_repeat_themselves_are_named(tmp_path, capsys, seen, reuse):
    own = np.random.default_rng(0)
    noisy = loader(lambda image: image + float(own.random()))
    campaign(tmp_path, noisy, reuse=reuse)
    told = [line for line in capsys.readouterr().out.splitlines() if "itself" in line]
    assert told == [
        "seu-plugin: the host's DataLoader does not repeat itself: batch 1 of trial 0.01:0 differs "
        "from the golden run's; what becomes of single images is not known"
    ]
    assert seen[0].replayed == 0
    ran = [row for row in rows(tmp_path)[1:] if row["ran"]]
    assert ran and all(row.get("changed") is None and row["outcomes"] is None for row in ran)


def test_the_report_of_data_that_do_not_repeat_themselves_has_no_interval_over_images(tmp_path):
    own = np.random.default_rng(0)
    campaign(tmp_path, loader(lambda image: image + float(own.random())))
    summary = summary_of([tmp_path])
    assert all(row.drop_two_way_interval is None and row.outcomes is None for row in summary.bers)
    page = (tmp_path / "report.html").read_text()
    assert "which no interval here covers (the host&#39;s DataLoader does not repeat itself" in page


def test_another_number_of_batches_is_told(tmp_path, capsys):
    class Growing(OfMine):
        def __iter__(self):
            yield from super().__iter__()
            if self.read > 12:
                yield [IMAGES[:0].clone(), LABELS[:0].clone()]

    campaign(tmp_path, Growing())
    assert "trial 0.01:0 has 4 batches, and the golden run 3" in capsys.readouterr().out


def test_what_the_host_writes_into_a_batch_is_not_given_again(tmp_path, seen):
    both(tmp_path, loader, each=lambda inputs, labels: inputs.zero_() is None)
    assert seen[0].replayed == 5


def test_a_host_that_breaks_reads_each_time(tmp_path, seen):
    data = both(tmp_path, loader, each=lambda inputs, labels: True)
    assert seen[0].replayed == 0 and data.dataset.read == 7 * 4


def test_what_has_no_room_in_memory_goes_to_a_file_that_is_gone_afterwards(
    tmp_path, monkeypatch, seen
):
    written = []
    own = StoredBatches.close
    monkeypatch.setattr(
        StoredBatches, "close", lambda self: (written.append((self.used, self.written)), own(self))
    )
    data = both(tmp_path, loader, reuse_memory=2000)
    assert data.dataset.read == 2 * 12 and seen[0].replayed == 5
    used, on_disk = written[0]
    assert used <= 2000 and used + on_disk >= BATCH
    assert {path.name for path in (tmp_path / "reuse").iterdir()} == {
        path.name for path in (tmp_path / "read").iterdir()
    }


def test_a_full_disk_means_that_the_host_reads(tmp_path, monkeypatch, seen):
    class Full:
        def __getattr__(self, name):
            return getattr(tempfile.SpooledTemporaryFile(), name)

        def write(self, words):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    data = both(tmp_path, loader, reuse_memory=0)
    assert seen[0].replayed == 0 and data.dataset.read == 7 * 12


def test_a_file_leaves_half_of_the_disk_free(tmp_path, monkeypatch, seen):
    usage = shutil._ntuple_diskusage(10 * BATCH, 9 * BATCH, BATCH)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    data = loader()
    campaign(tmp_path, data, reuse_memory=0)
    assert seen[0].replayed == 0 and data.dataset.read == 7 * 12


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda file: file.truncate(0), "it ends too early"),
        (lambda file: (file.seek(0), file.write(b"12345"), file.flush()), "other bits than were"),
    ],
)
def test_a_file_that_is_harmed_is_told_in_one_line(tmp_path, harm, told):
    store = StoredBatches(0, tmp_path)
    host, data = HostData(loader := OfMine(), True, lambda: store), loader
    with host.golden():
        list(data)
    with host.trial("a"):
        list(data)
    harm(store._file)
    with pytest.raises(InjectionError, match=f"cannot be read back.*{told}") as caught:
        with host.trial("b"):
            list(data)
    assert len(caught.value.lines) == 1


def runs(data, *, between=list, number=3, store=StoredBatches):
    """What ``between`` makes of the loader in the golden run and trials, each from one state."""
    make = None if store is None else lambda: store(1 << 20)
    host, found = HostData(data, True, make), []
    state = RunState(torch.nn.Identity())
    for n in range(number):
        state.restore()
        with host.golden() if n == 0 else host.trial(str(n)):
            found.append((between(data), CpuGenerators()))
    return host, found


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) and a.stride() == b.stride() and a.dtype == b.dtype
        for pair, others in zip(one, other)
        for a, b in zip(pair, others)
    )


class Forms(OfMine):
    """Batches of every kind of tensor that is given again."""

    def __iter__(self):
        yield IMAGES.clone(memory_format=torch.channels_last), torch.tensor(1.5).bfloat16()
        yield torch.empty(0, 3), torch.tensor([True, False])
        yield IMAGES.transpose(0, 2).clone(), torch.tensor([float("nan"), -0.0]).half()


def test_batches_are_given_again_bit_for_bit_with_their_strides():
    host, found = runs(Forms())
    assert host.replayed == 1
    (golden, _), _, (again, _) = found
    for one, other in zip(golden, again):
        for a, b in zip(one, other):
            assert (a.stride(), a.dtype, a.shape) == (b.stride(), b.dtype, b.shape)
            assert (
                a.contiguous()
                .view(-1)
                .view(torch.uint8)
                .equal(b.contiguous().view(-1).view(torch.uint8))
            )


def test_a_batch_may_be_a_nest_of_plain_values():
    class Nested(OfMine):
        def __iter__(self):
            yield {"image": IMAGES[:2].clone(), "about": ("a.png", [1, 2.5, None, True])}

    host, found = runs(Nested())
    assert host.replayed == 1 and found[2][0][0]["about"] == ("a.png", [1, 2.5, None, True])


def test_inference_tensors_stay_such():
    with torch.inference_mode():
        host, found = runs(loader())
    assert host.replayed == 1 and found[2][0][0][0].is_inference()
    host, found = runs(loader())
    assert not found[2][0][0][0].is_inference()


class View(OfMine):
    def __iter__(self):
        yield [IMAGES[4:8], LABELS[4:8]]


class Shared(OfMine):
    def __iter__(self):
        image = IMAGES[:2].clone()
        yield [image, image]


class Subclass(OfMine):
    def __iter__(self):
        yield [torch.nn.Parameter(torch.ones(2)), LABELS[:2].clone()]


@pytest.mark.parametrize("make", [View, Shared, Subclass])
def test_what_cannot_be_made_again_exactly_is_read(make):
    host, _ = runs(make())
    assert host.replayed == 0 and host.differs is None


def test_numbers_that_a_host_draws_before_the_first_batch_are_the_same_ones():
    def drawing(data):
        batches = iter(data)
        found = [(torch.rand(2), torch.rand(1))]
        found.extend(batch for batch in batches)
        return found

    host, found = runs(loader(shuffle=True), between=drawing)
    assert host.replayed == 1
    assert same(found[0][0], found[2][0]) and found[0][1] == found[2][1]


def test_a_host_that_draws_other_numbers_before_the_first_batch_reads_on_from_there():
    def drawn(host_data):
        data, number = loader(shuffle=True), iter([1, 1, 5])

        def drawing(data):
            batches = iter(data)
            torch.rand(next(number))
            return [batch for batch in batches]  # noqa: C416 - a list asks how long they are

        torch.manual_seed(7)
        return (data, *host_data(data, between=drawing))

    data, host, found = drawn(runs)
    assert host.replayed == 0 and data.dataset.read == 3 * 12
    *_, really = drawn(lambda data, between: runs(data, between=between, store=None))
    assert all(same(a, b) and c == d for (a, c), (b, d) in zip(found, really))
    assert not same(found[0][0], found[2][0])


def test_another_state_of_the_generators_is_read():
    data = loader(shuffle=True)
    number = iter([0, 0, 3])

    def drawing(data):
        torch.rand(next(number))
        return list(data)

    host, _ = runs(data, between=drawing)
    assert host.replayed == 0 and data.dataset.read == 3 * 12


def test_what_is_asked_of_an_iterator_is_answered_by_a_real_one():
    def asking(data):
        batches = iter(data)
        torch.rand(1)
        first = next(batches)
        assert len(batches) == 3 and batches._num_yielded == 1
        with pytest.raises(AttributeError):
            _ = batches.missing
        return [first, *batches]

    data = loader(shuffle=True)
    host, found = runs(data, between=asking)
    assert host.replayed == 0 and data.dataset.read == 3 * 12
    assert same(found[0][0], found[2][0]) and found[0][1] == found[2][1]


def test_an_iterator_goes_on_after_its_run():
    data, state = loader(), CpuGenerators()
    host, _ = runs(data)
    state.restore()
    with host.trial("x"):
        left = iter(data)
        assert isinstance(left, Replayed)
        next(left)
    host.close()
    assert len(list(left)) == 2


def test_a_generator_that_the_host_puts_back_is_drawn_from():
    own = torch.Generator()
    data = loader(shuffle=True, generator=own)

    def seeded(data):
        own.manual_seed(3)
        return [*data, (own.get_state(), torch.ones(1))]

    host, found = runs(data, between=seeded)
    assert host.replayed == 0 and host.differs is None
    assert same(found[0][0], found[2][0])


def test_a_generator_that_only_seeds_workers_does_not_hinder():
    host, _ = runs(loader(generator=torch.Generator().manual_seed(3)))
    assert host.replayed == 1


def test_a_loader_is_as_before_after_each_run():
    data = loader()
    before = dict(vars(data))
    host, _ = runs(data)
    with pytest.raises(KeyError), host.trial("x"):
        iter(data)
        raise KeyError
    assert type(data) is DataLoader and vars(data) == before


def test_an_error_in_the_first_trial_leaves_that_to_the_next():
    data = loader()
    host = HostData(data, True, lambda: StoredBatches(1 << 20))
    state = CpuGenerators()
    for n in range(4):
        state.restore()
        if n == 1:
            with pytest.raises(KeyError), host.trial("0"):
                next(iter(data))
                raise KeyError
            continue
        with host.trial(str(n)) if n else host.golden():
            list(data)
    assert host.replayed == 1 and data.dataset.read == 12 + 4 + 12


def test_what_calibrates_the_golden_run_alone_is_not_counted():
    first = iter([True, False, False])

    def calibrating(data):
        state = CpuGenerators()
        if next(first):
            with host.paused():
                next(iter(data))
            state.restore()  # as Calibrations does in trials
        return list(data)

    data = loader()
    host = HostData(data, True, lambda: StoredBatches(1 << 20))
    state = CpuGenerators()
    for n in range(3):
        state.restore()
        with host.trial(str(n)) if n else host.golden():
            calibrating(data)
    assert host.replayed == 1


def test_a_list_is_read_by_the_host():
    host, found = runs([(IMAGES, LABELS)])
    assert host.replayed == 0 and "cannot be watched" in host.why
    assert found[0][0] == found[2][0]


def test_a_trial_that_iterates_more_often_is_not_replayed():
    data, often = loader(), iter([1, 2, 2])
    host, _ = runs(data, between=lambda data: [list(data) for _ in range(next(often))])
    assert host.replayed == 0 and host.differs is None


def test_a_file_in_a_folder_that_is_not_there_is_put_elsewhere(tmp_path):
    store = StoredBatches(0, Path(tmp_path / "missing"))
    host = HostData(data := loader(), True, lambda: store)
    with host.golden():
        list(data)
    with host.trial("0"):
        list(data)
    assert store.written >= BATCH and not (tmp_path / "missing").exists()
    host.close()
    assert store.written == 0


DRAWS = {
    "random": random.random,
    "numpy": np.random.rand,
    "torch": lambda: float(torch.rand(())),
    "nothing": lambda: 0.5,
}


class Drawing:
    """Batches of numbers that it draws as an iteration begins, at its first batch, or at each."""

    def __init__(self, length, when, draw):
        self.length, self.when, self.draw = length, when, DRAWS[draw]

    def __iter__(self):
        return self.begun(self.draw() if self.when in ("iter", "both") else 0.0, self.draw)

    def begun(self, number, draw):
        for i in range(self.length):
            if self.when == "each" or (self.when in ("first", "both") and i == 0):
                number += draw()
            yield torch.full((2, 3), number + i).t(), torch.tensor([i])


def program(plan):
    """A host that draws numbers itself, writes into batches and leaves off, by run and pass."""

    def run(data):
        found = []
        for before, between, during, stop in next(plan):
            torch.rand(before)
            batches = iter(data)
            np.random.rand(between)
            for place, (inputs, labels) in enumerate(batches):
                found.append((inputs.clone(), labels.clone(), inputs.stride(), CpuGenerators()))
                inputs.zero_()
                random.getrandbits(32 * during + 1)
                if place == stop:
                    break
            found.append((torch.zeros(1), torch.zeros(1), (), CpuGenerators()))
        return found

    return run


#: Numbers drawn before a pass, after it has begun, and at each batch; the batch it breaks at.
PASS = st.tuples(*[st.integers(0, 1)] * 3, st.sampled_from([None, None, None, 0, 2]))
RUN = st.lists(PASS, max_size=3)


DRAWN_APART = "what is drawn before the first batch"


@settings(max_examples=200, deadline=None)
@example((3, "both", "torch"), [(0, 0, 0, None)], [], DRAWN_APART, 1 << 20)
@given(
    loader=st.tuples(
        st.integers(0, 4),
        st.sampled_from(["iter", "first", "both", "each"]),
        st.sampled_from([*DRAWS]),
    ),
    usual=RUN,
    other=RUN,
    varies=st.sampled_from(["nothing", DRAWN_APART, "all"]),
    room=st.sampled_from([0, 200, 1 << 20]),
)
def test_whatever_a_host_does_it_sees_what_it_would_have_read(loader, usual, other, varies, room):
    if varies != "all":
        other = [(a, b + (varies != "nothing"), *more) for a, b, *more in usual]
    script = [usual, usual, usual, other, usual]

    def seen(store):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        run = program(iter(script))
        return runs(Drawing(*loader), between=run, number=len(script), store=store)

    host, found = seen(lambda _: StoredBatches(room))
    _, really = seen(None)
    for (batches, state), (others, other_state) in zip(found, really):
        assert state == other_state and len(batches) == len(others)
        for one, two in zip(batches, others):
            assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
            assert one[2:] == two[2:]
    if varies == "nothing" and loader[1] != "each" and all(one[3] is None for one in usual):
        assert host.replayed == 3 * len(usual)
