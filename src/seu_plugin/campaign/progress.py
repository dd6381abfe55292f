"""How far a campaign is: a bar with the time left on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from typing import Callable, List, Optional

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..analysis.trials import TrialResult

#: Plain lines come this often, in seconds.
EVERY = 15.0


class CampaignProgress:
    """Use as a context manager; ``say`` prints a line beside the bar."""

    def __init__(self, say: Callable[[str], None], quiet: bool = False) -> None:
        # Kept now: the host's own output is sent elsewhere while trials run.
        self._console = Console(file=sys.stdout)
        self._say = say
        self._bar: Optional[Progress] = None
        if self._console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[running]}"),
                console=self._console,
                transient=True,
            )
        self._task: Optional[int] = None
        self._metrics: List[float] = []
        self._title, self._total, self._done, self._told = "", 0, 0, time.monotonic()

    def __enter__(self) -> CampaignProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, title: str, total: int) -> None:
        """A batch of ``total`` trials begins."""
        self._title, self._total, self._done = title, total, 0
        self._began = time.monotonic()
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)  # type: ignore[arg-type]
            self._task = self._bar.add_task(title, total=total, running="")

    def advance(self, result: TrialResult) -> None:
        """A trial is done."""
        self._done += 1
        running = f"{result.trial.id}: {', '.join(f'{m:.2f} %' for m in result.metrics)}"
        if self._bar is not None:
            self._bar.update(self._task, advance=1, running=running)  # type: ignore[arg-type]
        elif time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            left = (self._told - self._began) / self._done * (self._total - self._done)
            self._say(
                f"{self._title}: {self._done} of {self._total} trials, about {left:.0f} s left; "
                f"{running}"
            )
