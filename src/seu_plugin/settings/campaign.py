"""The ``campaign`` part of the section. No torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Tuple, Union

from pydantic import Field, StrictBool, StrictInt, StrictStr, field_validator, model_validator

from ..faults.rates import checked_time, seconds
from ..fields import Frozen, OneOrMany, SizeWithUnit, integer, memory_size, number
from .mission import Mission

#: BERs of a campaign that names none, and no ``ber`` beside it.
GRID = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
#: Trials, and processes or threads, beyond which a number is a slip of the keyboard.
MOST, MOST_PROCESSES = 1_000_000, 1024


class Until(Frozen):
    """Go on until the mean accuracy of each BER is known well enough."""

    margin: float = Field(
        gt=0.0, le=100.0, description="half-width of the interval of the mean, percentage points"
    )
    confidence: Optional[float] = Field(
        None, gt=0.5, lt=1.0, description="of that interval; null: the campaign's"
    )
    max_trials: StrictInt = Field(
        1000, ge=2, le=MOST, description="at most so many trials for each BER"
    )

    guarantee: Literal["any_law", "normal"] = Field(
        "any_law",
        description="any_law: an interval that holds whatever the law of the drops, and however "
        "often one looks; normal: one that holds if drops are near normal, with fewer trials",
    )

    _numbers = field_validator("margin", mode="before")(lambda value: number(value))


class Sensitivity(Frozen):
    """Which layers and which bits matter: the accuracy drop per upset, stratum by stratum."""

    by: Annotated[Tuple[Literal["layer", "bit"], ...], OneOrMany()] = Field(
        ("layer", "bit"), min_length=1, description="a stratum for each layer, bit, or both"
    )
    trials: StrictInt = Field(
        20,
        ge=2,
        le=MOST,
        description="trials for each stratum; one that has no more words than this is "
        "searched exhaustively if upsets is 1",
    )
    more: StrictInt = Field(
        0,
        ge=0,
        le=MOST,
        description="trials beyond these, in all: given to the strata where they tell most of the "
        "whole memory's drop, by their bits and how much their drops vary (Neyman)",
    )
    upsets: StrictInt = Field(
        1, ge=1, lt=1 << 32, description="upsets in each trial, all in its stratum"
    )
    ber: Optional[float] = Field(
        None,
        gt=0.0,
        le=1.0,
        description="in place of upsets: as many as this BER leads to expect in the stratum, at "
        "least 1",
    )

    @field_validator("by", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("ber", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return None if value is None else number(value)

    @model_validator(mode="after")
    def _either(self) -> Sensitivity:
        if self.ber is not None and self.upsets != 1:
            raise ValueError("upsets and ber exclude each other")
        return self

    def placed(self, stored_bits: int) -> int:
        """Upsets in each trial of a stratum of so many bits."""
        return self.upsets if self.ber is None else max(1, round(self.ber * stored_bits))

    @field_validator("by")
    @classmethod
    def _distinct(cls, value: Tuple[str, ...]) -> Tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("must be layer, bit or both")
        return value


class Critical(Frozen):
    """Single upsets of the bits that gradients say matter."""

    trials: StrictInt = Field(500, ge=2, le=MOST, description="about so many single bits")
    images: StrictInt = Field(
        256, ge=1, le=MOST, description="whose gradients rank the bits: the first ones"
    )


class RayResources(Frozen):
    """What a Ray worker takes."""

    address: Optional[StrictStr] = Field(
        None, description="of the cluster; null: RAY_ADDRESS, or else a cluster on this machine"
    )
    cpus: float = Field(1.0, gt=0.0, allow_inf_nan=False, description="CPUs of each worker")
    gpus: float = Field(0.0, ge=0.0, allow_inf_nan=False, description="GPUs of each worker")

    _numbers = field_validator("cpus", "gpus", mode="before")(lambda value: number(value))


class CampaignSettings(Frozen):
    """A golden run and many trials, over a grid of BERs."""

    ber: Optional[Annotated[Tuple[float, ...], OneOrMany()]] = Field(
        None,
        description="grid of BERs; null: the section's ber (of a counted rate, with those at the "
        "ends of its interval), of a mission those just before a scrub, or else 1e-6 ... 1e-2",
    )
    trials: StrictInt = Field(20, ge=2, le=MOST, description="trials (fault maps) for each BER")
    sampling: Literal["conditional", "plain"] = Field(
        "conditional",
        description="conditional: draw trials given that something may be read wrong, and weigh "
        "them by the probability of that; plain: draw all that may happen, also nothing",
    )
    until: Optional[Until] = Field(
        None, description="add trials to each BER until its mean is known to a margin"
    )
    max_drop: Optional[float] = Field(
        1.0,
        gt=0.0,
        le=100.0,
        description="percentage points: the BER at which accuracy has dropped by this much is "
        "reported; null: not asked for",
    )
    threshold: Literal["search", "grid"] = Field(
        "search", description="search: add BERs until that one is known; grid: interpolate"
    )
    tolerance: float = Field(
        0.1, gt=0.0, le=1.0, description="search: how near the BERs around it come, in decades"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="of every interval")
    outcomes: StrictBool = Field(
        True, description="compare the outputs for each image with those of the golden run"
    )
    reuse: StrictBool = Field(
        True,
        description="compute in a trial only what its upsets change, take the rest from the golden "
        "run, and read the host's data twice at most; results are the same bit for bit",
    )
    reuse_memory: Annotated[Union[Literal["auto"], StrictInt], SizeWithUnit()] = Field(
        "auto",
        description="of outputs of the golden run and data kept for that, in each process: auto (a "
        "quarter of what is free, shared by workers), bytes, or a size such as 2 GiB",
    )
    sensitivity: Optional[Sensitivity] = Field(
        None, description="measure the accuracy drop per upset for each layer and bit"
    )
    critical: Optional[Critical] = Field(
        None,
        description="upset single bits where gradients say that they matter, weighed so that the "
        "mean drop of an upset is unbiased; seu worst lists them",
    )
    mission: Optional[Mission] = Field(
        None,
        description="accuracy against the time of a mission, at the section's rate",
    )
    output: StrictStr = Field("results/seu", min_length=1, description="folder of the results")
    engine: Literal["local", "ray"] = Field("local", description="where trials run")
    workers: Optional[StrictInt] = Field(
        None,
        ge=1,
        le=MOST_PROCESSES,
        description="processes that each start the host once and then run trials; 1 with "
        "engine local: this process; null: one a GPU, where there are several, else 1",
    )
    threads: Optional[StrictInt] = Field(
        None,
        ge=1,
        le=MOST_PROCESSES,
        description="CPU threads of each worker; null: those of OMP_NUM_THREADS, else all cores, "
        "shared out",
    )
    worker_timeout: Optional[StrictStr] = Field(
        None,
        description="time with its unit after which a worker is given up that does not answer, and "
        "its trial goes to another; null: 20 times its golden run, at least 5 min",
    )
    ray: RayResources = Field(RayResources(), description="what a Ray worker takes")
    shard: Optional[StrictStr] = Field(
        None, description="I/N: only every N-th trial, from the I-th on (0 <= I < N)"
    )

    @field_validator("ber", mode="before")
    @classmethod
    def _grid(cls, value: Any) -> Any:
        if value is None:
            return None
        many = value if isinstance(value, (list, tuple)) else [value]
        bers = sorted(number(v, "must be BERs in (0, 1], for example [1e-4, 1e-3]") for v in many)
        if not bers or not all(0.0 < ber <= 1.0 for ber in bers):  # NaN is neither
            raise ValueError("must be BERs in (0, 1]; the golden run stands for 0")
        if len(set(bers)) != len(bers):
            raise ValueError("must be distinct BERs")
        return tuple(bers)

    @field_validator("max_drop", "tolerance", "confidence", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return None if value is None else number(value)

    @field_validator("trials", "workers", mode="before")
    @classmethod
    def _integer(cls, value: Any) -> Any:
        return integer(value)

    @field_validator("output")
    @classmethod
    def _path(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("must be a path")
        return value

    _time = field_validator("worker_timeout", mode="before")(checked_time)
    _size = field_validator("reuse_memory", mode="before")(memory_size)

    @property
    def patience(self) -> Optional[float]:
        """``worker_timeout`` in seconds."""
        return None if self.worker_timeout is None else seconds(self.worker_timeout)

    @property
    def folder(self) -> Path:
        """``output``; ~ is the home of the user."""
        return Path(self.output).expanduser()

    @field_validator("shard")
    @classmethod
    def _part(cls, value: Optional[str]) -> Optional[str]:
        if value is not None:
            parts = re.fullmatch(r"(\d+)/(\d+)", value)
            if parts is None or int(parts[1]) >= int(parts[2]):
                raise ValueError("must be I/N with 0 <= I < N, for example 0/4")
        return value

    @model_validator(mode="after")
    def _agree(self) -> CampaignSettings:
        asked = None if self.mission is None else self.mission.requirement
        if asked is not None and self.available_drop is None:
            raise ValueError("mission.requirement needs max_drop, its own or the campaign's")
        if self.shard is not None and self.until is not None:
            raise ValueError(
                "until cannot be combined with shard, which sees only a part of the trials"
            )
        if self.shard is not None and self.sensitivity is not None and self.sensitivity.more:
            raise ValueError(
                "sensitivity.more cannot be combined with shard, which sees only a part of the "
                "trials"
            )
        if self.until is not None and self.until.max_trials < self.trials:
            raise ValueError(
                f"until.max_trials ({self.until.max_trials}) is less than trials ({self.trials})"
            )
        return self

    @property
    def images_kept(self) -> Optional[int]:
        """Of the golden run, for the gradients of ``critical``."""
        return None if self.critical is None else self.critical.images

    @property
    def available_drop(self) -> Optional[float]:
        """Percentage points up to which a mission's network is available."""
        asked = None if self.mission is None else self.mission.requirement
        return self.max_drop if asked is None or asked.max_drop is None else asked.max_drop

    @property
    def part(self) -> Tuple[int, int]:
        """``shard`` as numbers; (0, 1) is the whole."""
        index, _, number_of = (self.shard or "0/1").partition("/")
        return int(index), int(number_of)

    @property
    def searches_threshold(self) -> bool:
        """Whether BERs are added; a shard interpolates, as it sees only a part of the trials."""
        return self.max_drop is not None and self.threshold == "search" and self.part[1] == 1
