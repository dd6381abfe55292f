"""What became of each image: outputs of a trial against those of the golden run."""

from __future__ import annotations

import hashlib
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch

from ..analysis.trials import Outcomes
from ..errors import ConfigError, InjectionError
from ..injection.devices import on_every_rank

#: For each image: hash of its outputs, top-1 class, whether all are finite, and the margin of the
#: class that the golden run gave it (its logit less the highest other one).
Recorded = Tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

#: Odd multiplier of a 64-bit hash over the bits of one image's outputs.
_MIX = 0x9E3779B97F4A7C15 - (1 << 64)


class OutputRecorder:
    """Sees the model's output of each forward; keeps, on its device, a 64-bit hash, the top-1
    class, whether all is finite, and the margin, for each image: O(images), and nothing waits for a
    GPU. ``golden``: the classes of the golden run, whose margins are kept from then on.

    Outputs other than one floating-point tensor of shape [images, classes] cannot be compared:
    ``observed`` is False then.
    """

    def __init__(self) -> None:
        self.golden: Optional[torch.Tensor] = None
        self.clear()

    def clear(self) -> None:
        self.observed = True
        self._batches: List[Recorded] = []
        self._at = 0

    def __call__(self, output: Any, images: Sequence[Any] = ()) -> None:
        if not (
            isinstance(output, torch.Tensor) and output.dim() == 2 and output.is_floating_point()
        ):
            self.observed = False
            return
        output = output.detach()
        classes = output.argmax(dim=1)
        finite = torch.isfinite(output).all(dim=1)
        self._batches.append((_hashes(output), classes, finite, self._margins(output, classes)))

    def _margins(self, output: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        start, self._at = self._at, self._at + len(output)
        if self.golden is not None and self._at <= len(self.golden):
            self.golden = self.golden.to(output.device)  # moved once: a GPU would be waited for
            classes = self.golden[start : self._at]
        if output.shape[1] < 2:
            return torch.zeros_like(classes, dtype=torch.float64)
        wide = output.double()  # differences of the largest floats are no float32
        own = wide.gather(1, classes[:, None])
        return own[:, 0] - wide.scatter(1, classes[:, None], -torch.inf).amax(dim=1)

    def taken(self) -> Optional[Recorded]:
        """What was recorded, on the CPU, and forget it; None if outputs cannot be compared."""
        batches, observed = self._batches, self.observed
        self.clear()
        if not observed or not batches:
            return None
        hashes, classes, finite, margins = (torch.cat(parts).cpu() for parts in zip(*batches))
        return hashes, classes, finite, margins


def compare(golden: Optional[Recorded], faulted: Optional[Recorded]) -> Optional[Outcomes]:
    """Outcomes of a trial, summed over all ranks; None if outputs could not be recorded.

    Raises InjectionError if both runs did not see the same number of images.
    """
    if golden is None or faulted is None:
        return None
    (before, was, _, _), (after, now, finite, _) = golden, faulted
    if before.shape != after.shape:
        raise InjectionError(
            f"the golden run gave outputs for {len(before)} images and a trial for {len(after)}: "
            "the host's validate does not evaluate the same images each time"
        )
    masked = before == after
    critical = finite & ~masked & (was != now)
    tolerable, broken = finite & ~masked & ~critical, ~finite & ~masked
    here = [int(part.sum()) for part in (masked, tolerable, critical, broken)]
    return Outcomes(*(sum(counts) for counts in zip(*on_every_rank(here))))


def against(golden: Optional[Recorded], faulted: Optional[Recorded]) -> Dict[str, Any]:
    """For a row: :func:`compare`, and the mean change of margins, over all ranks, of the images
    whose outputs are finite; None where none are. No margin counts as more than the largest of the
    golden run, or less than that with a minus: what an exponent does to one image is bounded."""
    outcomes = compare(golden, faulted)
    if golden is None or faulted is None:
        return {"outcomes": outcomes, "margin": None}
    finite = golden[2] & faulted[2]
    most = float(golden[3][golden[2]].abs().max()) if bool(golden[2].any()) else 0.0
    change = (faulted[3].clamp(-most, most) - golden[3])[finite]
    sums, counts = zip(*on_every_rank((float(change.sum()), int(finite.sum()))))
    return {"outcomes": outcomes, "margin": sum(sums) / sum(counts) if sum(counts) else None}


class GoldenDigest:
    """Sees the images and outputs of each forward of the golden run, and shows outputs to
    ``recorder``: other data give another digest, though the accuracy may be the same. O(images) is
    kept, and nothing waits for a GPU."""

    def __init__(self, recorder: Optional[OutputRecorder]) -> None:
        self._recorder = recorder
        self._parts: List[torch.Tensor] = []

    def __call__(self, output: Any, images: Sequence[Any] = ()) -> None:
        for tensor in (*images, output):
            if isinstance(tensor, torch.Tensor) and tensor.dim() > 0:
                self._parts.append(_hashes(tensor.detach().reshape(len(tensor), -1)))
        if self._recorder is not None:
            self._recorder(output)

    def digest(self) -> str:
        """SHA-256 of all of it, on all ranks."""
        found = hashlib.sha256()
        for parts in on_every_rank([part.cpu().numpy().tobytes() for part in self._parts]):
            for part in parts:
                found.update(part)
        return found.hexdigest()


def both(*observers: Callable[[Any, Sequence[Any]], None]) -> Callable[..., None]:
    """Shows forwards to several."""

    def show(output: Any, images: Sequence[Any] = ()) -> None:
        for one in observers:
            one(output, images)

    return show


def _hashes(output: torch.Tensor) -> torch.Tensor:
    """A 64-bit hash of the bits of each row; int64 of shape [rows]."""
    words = output.double().contiguous().view(torch.int64)  # exact for every narrower float
    powers = _powers(words.shape[1]).to(words.device)
    mixed = (words ^ (words >> 29)) * _MIX
    return ((mixed ^ (mixed >> 32)) * powers).sum(dim=1)  # modulo 2**64


def _powers(n: int) -> torch.Tensor:
    values, value = [], 1
    for _ in range(n):
        value = value * 0xD6E8FEB86659FD93 % (1 << 64)
        values.append(value - (1 << 64) if value >> 63 else value)
    return torch.tensor(values, dtype=torch.int64)


def check_metrics(metrics: Sequence[float], run: str, number: Optional[int] = None) -> None:
    """Raise ConfigError unless all are accuracies in percent, and ``number`` of them."""
    if number is not None and len(metrics) != number:
        raise ConfigError(
            f"campaign: {run} gave {len(metrics)} accuracies and the golden run {number}; both "
            "must evaluate the same"
        )
    for metric in metrics:
        if not 0.0 <= metric <= 100.0:
            raise ConfigError(
                f"campaign: {run} gave {metric!r}; an accuracy must be a number in 0 ... 100 "
                "(percent), also where outputs are NaN"
            )
