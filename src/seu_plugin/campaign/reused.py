"""Whether the trials of a campaign reuse what its golden run computed, and within which memory."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..injection.reuse import Reuse
from ..settings.campaign import CampaignSettings
from .stored_batches import StoredBatches


def reuse_of(
    campaign: CampaignSettings, runs_trials: bool = True, processes: int = 1
) -> Optional[Reuse]:
    """What ``campaign`` asks for in this process; None where nothing is reused, as where trials run
    in other processes (not ``runs_trials``), which each keep golden outputs of their own; as many
    ``processes`` share the memory of this machine."""
    if not campaign.reuse or not runs_trials:
        return None
    memory = None if campaign.reuse_memory == "auto" else int(campaign.reuse_memory)
    return Reuse(memory, processes)


def store_in(folder: Path, reuse: Reuse) -> StoredBatches:
    """Where the host's data are held: in memory that golden outputs leave, and in ``folder``."""
    return StoredBatches(reuse.left_on_cpu(), folder, reuse.processes)
