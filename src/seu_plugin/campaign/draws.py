"""What a trial is given: a map that its own BER draws, or one drawn for all sites at once. No
torch."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple

from ..analysis.trials import Trial
from ..errors import ConfigError
from ..faults.conditional import ConditionalMemory
from ..faults.histories import Histories
from ..faults.itinerary import Itinerary
from ..faults.site_memory import SiteMemory

#: Of each kind, dangerous units and struck cells.
Struck = Optional[Tuple[Tuple[int, int], ...]]


class Draws:
    """Trials at a BER are drawn given that something may be read wrong, unless there is a reason
    ``why_plain`` (:func:`.sampling.plain_because`); those of missions follow ``itinerary``."""

    def __init__(self, why_plain: Optional[str], itinerary: Optional[Itinerary] = None) -> None:
        self.why_plain = why_plain
        self.conditional: Optional[ConditionalMemory] = None
        self.itinerary = itinerary
        self._histories: Optional[Histories] = None

    def begin(self, memories: Callable[[], List[SiteMemory]], static: bool, seed: int) -> None:
        """After the golden run, which tells the ``memories`` of sites (or raises ConfigError).

        Raises ConfigError for missions that cannot be followed."""
        if not static:
            self.why_plain = "layers are in train mode: each forward has a map of its own"
        if self.why_plain is None:
            try:
                self.conditional = ConditionalMemory(memories(), seed)
            except ConfigError as error:
                self.why_plain = str(error)
        if self.itinerary is not None:
            if not static:
                raise ConfigError(
                    "campaign.mission: layers are in train mode, in which each forward has a map "
                    "of its own: there is no memory to follow"
                )
            self._histories = Histories(memories(), self.itinerary, seed)

    def given(self, trial: Trial) -> Tuple[Tuple[Any, ...], Struck]:
        """Arguments of the injector's ``start_trial``, and what was struck."""
        if trial.moment is not None:
            if self._histories is None:
                raise ConfigError(f"trial {trial.id}: is of a mission, and the campaign has none")
            maps = self._histories.at(trial.number, trial.moment, trial.rate or "")
            return (trial.number, 0.0, maps), None
        assert trial.ber is not None
        # Where it is certain that something is dangerous, plain trials are of the same law.
        if self.conditional is None or self.conditional.population.chance(trial.ber) >= 1.0:
            return (trial.number, trial.ber), None
        drawn = self.conditional.draw(trial.ber, trial.number)
        struck = tuple((units, cells) for units, cells in drawn.struck)
        return (trial.number, 0.0, drawn.maps), struck
