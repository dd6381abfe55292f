"""Which images are classified right, run by run: what makes the images a factor of a campaign."""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
import numpy.typing as npt
import torch

from rfquant_hooks.contract import PhaseOutcome

from ..analysis.packed_bits import Scores, as_scores, as_words, changed, packed
from ..errors import ConfigError
from ..fields import shown
from ..injection.devices import on_every_rank
from .host_data import HostData
from .outcomes import Recorded


class Seen(NamedTuple):
    """Of one run, arrays of shape [A, images], A architectures: the scores of images (bool: whether
    it is classified right), and their classes (-1: outputs are not finite; None: not known)."""

    right: Scores
    classes: Optional[npt.NDArray[np.int64]]


#: Percentage points by which outputs and labels may miss the accuracy that the host reports.
_NEAR = 0.01


class Correctness:
    """Nothing is known of single images: ``why`` says so."""

    why: Optional[str] = "validate has no labels that are known"

    def note(self, batch: Any) -> None:
        """What the host's loader gives in the golden run, batch by batch."""

    def of(self, outcome: PhaseOutcome, recorded: Optional[Recorded]) -> Optional[Seen]:
        """Of one run, on this rank."""
        return None

    def on_all_ranks(self, seen: Optional[Seen]) -> Optional[Seen]:
        """Of all ranks, each of which has a part of the images; a collective call."""
        parts = on_every_rank(seen)
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        classes = [part.classes for part in known if part.classes is not None]
        return Seen(
            np.concatenate([part.right for part in known], axis=1),
            np.concatenate(classes, axis=1) if len(classes) == len(known) else None,
        )


class Labelled(Correctness):
    """Labels as the host's loader yields them in the golden run; later runs see the same images, or
    nothing is known of them (:attr:`.host_data.HostData.differs`)."""

    def __init__(self, data: HostData, read: Callable[[Any], Any]) -> None:
        self._data, self._read = data, read
        self._labels: List[torch.Tensor] = []

    @property
    def why(self) -> Optional[str]:  # type: ignore[override]
        return self._data.why

    def note(self, batch: Any) -> None:
        found = self._read(batch)
        if isinstance(found, torch.Tensor) and found.dim() == 1:
            # A copy: a worker's memory, and the file that stands for it, is not held.
            self._labels.append(found.detach().cpu().clone())

    def of(self, outcome: PhaseOutcome, recorded: Optional[Recorded]) -> Optional[Seen]:
        if not self._labels or recorded is None:
            return None
        classes, finite = recorded[1:3]
        labels = torch.cat(self._labels)
        if labels.shape != classes.shape or len(labels) % len(outcome.metrics):
            return None
        shape = (len(outcome.metrics), -1)
        answers = torch.where(finite, classes, torch.full_like(classes, -1))
        # Right as the host has it, also where outputs are not finite.
        return Seen((classes == labels).numpy().reshape(shape), answers.numpy().reshape(shape))


class Scored(Correctness):
    """From Python: ``evaluate`` itself returns a score an image."""

    why = "evaluate returns an accuracy, not a score for each image"

    def of(self, outcome: PhaseOutcome, recorded: Optional[Recorded]) -> Optional[Seen]:
        scores = scores_of(outcome.value)
        return None if scores is None else Seen(as_words(scores)[None], None)

    def on_all_ranks(self, seen: Optional[Seen]) -> Optional[Seen]:
        """Each rank has them all, or nothing is known."""
        ours = None if seen is None else seen.right.tobytes()
        return seen if all(part == ours for part in on_every_rank(ours)) else None


def scores_of(value: Any) -> Optional[npt.NDArray[np.float64]]:
    """``value`` as one score in [0, 1] an image: a tensor or array of shape [images]; None if it
    is an accuracy. Raises ConfigError for other scores."""
    if not isinstance(value, (torch.Tensor, np.ndarray)) or value.ndim != 1 or len(value) < 2:
        return None
    wrong = ConfigError(
        "evaluate: returned an array, which must hold a score in 0 ... 1 an image; received "
        f"{shown(value)}"
    )
    # A tensor's imaginary parts would be gone with its conversion.
    if value.is_complex() if isinstance(value, torch.Tensor) else np.iscomplexobj(value):
        raise wrong
    try:
        many = value.detach().double().cpu().numpy() if isinstance(value, torch.Tensor) else value
        scores = np.asarray(many, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise wrong from error
    if not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise wrong
    return scores


def same_scores(one: Any, other: Any) -> bool:
    """Whether two returned values agree, as far as they are scores of images."""
    mine, theirs = scores_of(one), scores_of(other)
    if mine is None or theirs is None:
        return mine is theirs
    return bool(np.array_equal(mine, theirs))


class Changed(NamedTuple):
    """Of a trial, for each architecture: what it changed, packed, and how many images that the
    golden run gets wrong it gave another wrong class, None where that is not known."""

    images: Tuple[str, ...]
    wrong_to_wrong: Optional[Tuple[int, ...]]


class Images:
    """The golden run's correctness, and what of it each trial changes."""

    def __init__(self, source: Correctness) -> None:
        self._source = source
        self._golden: Optional[Seen] = None
        self.why: Optional[str] = None  # not known

    def note(self, batch: Any) -> None:
        """A batch of the golden run."""
        self._source.note(batch)

    def refuse(self, why: str) -> None:
        """From now on nothing is known: image j of a trial is not that of the golden run."""
        self._golden, self.why = None, why

    @property
    def number(self) -> int:
        """Images of one architecture, on all ranks."""
        return 0 if self._golden is None else self._golden.right.shape[1]

    def begin(
        self, outcome: PhaseOutcome, recorded: Optional[Recorded]
    ) -> Optional[Tuple[str, ...]]:
        """Of the golden run, on all ranks, packed by architecture."""
        seen = self._source.on_all_ranks(self._source.of(outcome, recorded))
        if seen is None:
            self.why = self._source.why or "labels could not be matched with outputs"
        elif not all(on_every_rank(_agrees(seen.right, outcome.metrics))):
            self.why = "labels and outputs do not make the accuracy that validate reports"
        else:
            self._golden = seen
            return tuple(packed(one) for one in seen.right)
        return None

    def changed(self, outcome: PhaseOutcome, recorded: Optional[Recorded]) -> Optional[Changed]:
        """What a trial changed; None where labels and outputs do not make the accuracy that it
        reports (ties, or other images). Raises ConfigError for another number of images."""
        golden = self._golden
        if golden is None:
            return None
        seen = self._source.on_all_ranks(self._source.of(outcome, recorded))
        if seen is None or seen.right.shape != golden.right.shape:
            raise ConfigError(
                "campaign: a trial did not give what is right or wrong for each image of the "
                "golden run"
            )
        if not all(on_every_rank(_agrees(seen.right, outcome.metrics))):
            return None
        pairs = zip(golden.right, seen.right)
        packs = tuple(packed(changed(before, after)) for before, after in pairs)
        return Changed(packs, _wrong_to_wrong(golden, seen))

    def unchanged(self) -> Optional[Changed]:
        golden = self._golden
        if golden is None:
            return None
        return Changed(("",) * len(golden.right), _wrong_to_wrong(golden, golden))


def _wrong_to_wrong(golden: Seen, seen: Seen) -> Optional[Tuple[int, ...]]:
    if golden.classes is None or seen.classes is None:
        return None
    other = ~golden.right & ~seen.right & (golden.classes != seen.classes)
    return tuple(map(int, other.sum(axis=1)))


def _agrees(right: Scores, metrics: Sequence[float]) -> bool:
    found = 100.0 * as_scores(right).mean(axis=1)
    return bool((np.abs(found - np.array(metrics)) <= _NEAR).all())
