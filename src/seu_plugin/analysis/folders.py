"""A campaign read back from its folder, or from those of its shards. No torch."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from pydantic import ValidationError

from ..errors import ConfigError, SeuWarning
from ..faults.mechanisms import relaxation_of
from ..faults.population import Population
from ..fields import first_mistake
from ..settings.campaign import CampaignSettings
from .manifest import MANIFEST, PopulationFields, check_same_campaign, read_manifest
from .rows import TRIALS, read_rows
from .summary import Summary, summarize
from .trials import GOLDEN, TrialResult, same


def merged(
    folders: Sequence[Path],
) -> Tuple[Dict[str, Any], TrialResult, List[TrialResult]]:
    """Manifest, golden run and trials of a campaign that lies in one or more folders.

    Raises ConfigError if the folders are of different campaigns, or disagree on a trial.
    """
    manifest = read_manifest(folders[0])
    golden: Dict[str, TrialResult] = {}
    rows: Dict[str, TrialResult] = {}
    digests: Set[Optional[str]] = set()
    for folder in folders:
        check_same_campaign(read_manifest(folder), manifest["identity"], folder)
        for result in read_rows(folder / TRIALS)[0]:
            known = golden if result.trial.id == GOLDEN else rows
            digests |= {result.digest} - {None}
            other = known.setdefault(result.trial.id, result)
            if not same(replace(other, digest=None), result):
                raise ConfigError(
                    f"{folder / TRIALS}: trial {result.trial.id} has another result than in an "
                    "earlier folder: the shards did not evaluate the same model and data"
                )
    if not golden:
        raise ConfigError(f"{folders[0] / TRIALS}: has no golden run")
    if len(digests) > 1:
        warnings.warn(
            "the golden outputs of the folders differ bit for bit: they are of other data, or of "
            "machines or numbers of threads that round differently",
            SeuWarning,
            stacklevel=2,
        )
    return manifest, golden[GOLDEN], list(rows.values())


def summary_of(folders: Sequence[Path]) -> Summary:
    """What the trials in the folders say."""
    manifest, golden, rows = merged(folders)
    plan = CampaignSettings(**manifest["plan"])
    try:
        relaxation = relaxation_of(manifest["identity"]["section"])
    except ValidationError as error:
        where = f"{folders[0] / MANIFEST}: identity.section"
        raise ConfigError(f"{where}: {first_mistake(error)}") from None
    return summarize(golden, rows, plan, _strata(manifest), relaxation, population_of(manifest))


def population_of(manifest: Mapping[str, Any]) -> Optional[Population]:
    """The memory whose trials were drawn conditionally; None: they were drawn plainly."""
    fields = manifest.get("population")
    return None if fields is None else PopulationFields.model_validate(fields).population()


def _strata(manifest: Mapping[str, Any]) -> Dict[str, int]:
    return {str(name): int(bits) for name, bits in (manifest.get("strata") or {}).items()}
