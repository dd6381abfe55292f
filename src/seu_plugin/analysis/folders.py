"""A campaign read back from its folder, or from those of its shards. No torch."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from pydantic import ValidationError

from ..errors import ConfigError, SeuWarning
from ..faults.clean_time import clean_share
from ..faults.itinerary import Itinerary
from ..faults.population import Population
from ..fields import first_mistake
from ..settings.campaign import CampaignSettings
from .columns import Rows, joined_rows
from .critical import read_plan
from .manifest import MANIFEST, PopulationFields, check_same_campaign, read_manifest, together
from .mission import Missions
from .rows import TRIALS, read_rows
from .summary import Summary, summarize
from .times import rate_of
from .trials import TrialResult, same


def merged(
    folders: Sequence[Path],
) -> Tuple[Dict[str, Any], TrialResult, Rows]:
    """Manifest, golden run and trials of a campaign that lies in one or more folders.

    Raises ConfigError if the folders are of different campaigns, or disagree on a trial.
    """
    manifests = [read_manifest(folder) for folder in folders]
    manifest = {**manifests[0], "reused": together([one["reused"] for one in manifests])}
    golden: List[TrialResult] = []
    parts: List[Rows] = []
    known: Dict[str, Tuple[int, int]] = {}
    for folder, there in zip(folders, manifests):
        check_same_campaign(there, manifest["identity"], folder)
        rows = read_rows(folder / TRIALS)[0]
        parts.append(rows if len(folders) == 1 else _new(rows, parts, known, folder / TRIALS))
        golden += rows.where(rows.is_golden)
    if not golden:
        raise ConfigError(f"{folders[0] / TRIALS}: has no golden run")
    if len({one for rows in parts for one in rows.table.rare["digest"].values()}) > 1:
        warnings.warn(
            "the golden outputs of the folders differ bit for bit: they are of other data, or of "
            "machines or numbers of threads that round differently",
            SeuWarning,
            stacklevel=2,
        )
    rows = joined_rows(parts)
    return manifest, golden[0], rows.where(~rows.is_golden)


def _new(rows: Rows, before: Sequence[Rows], known: Dict[str, Tuple[int, int]], path: Path) -> Rows:
    """Those that no earlier folder has; ``known``: in which one, and where there, each trial is.
    Raises ConfigError where the two disagree."""
    new = np.ones(len(rows), dtype=np.bool_)
    for i, key in enumerate(rows.ids()):
        part, place = known.setdefault(key, (len(before), i))
        if part == len(before):
            continue
        new[i] = False
        other = before[part].table.result(place)
        if not same(replace(other, digest=None), rows[i]):
            raise ConfigError(
                f"{path}: trial {key} has another result than in an earlier folder: the shards "
                "did not evaluate the same model and data"
            )
    return rows.where(new)


def summary_of(folders: Sequence[Path]) -> Summary:
    """What the trials in the folders say."""
    return summary_of_merged(folders, *merged(folders))


def summary_of_merged(
    folders: Sequence[Path],
    manifest: Mapping[str, Any],
    golden: TrialResult,
    rows: Sequence[TrialResult],
) -> Summary:
    """Of what :func:`merged` gives."""
    plan = CampaignSettings(**manifest["plan"])
    try:
        rate = rate_of(manifest, plan)
    except ValidationError as error:
        where = f"{folders[0] / MANIFEST}: identity.section"
        raise ConfigError(f"{where}: {first_mistake(error)}") from None
    asked = (plan, _strata(manifest), rate, population_of(manifest))
    return summarize(golden, rows, *asked, missions_of(manifest, folders), read_plan(folders[0]))


def population_of(manifest: Mapping[str, Any]) -> Optional[Population]:
    """The memory whose trials were drawn conditionally; None: they were drawn plainly."""
    fields = manifest.get("population")
    return None if fields is None else PopulationFields.model_validate(fields).population()


def missions_of(manifest: Mapping[str, Any], folders: Sequence[Path]) -> Optional[Missions]:
    """Those that were followed; None: none were. Raises ConfigError for what is no mission."""
    section, population = manifest["identity"]["section"], population_of(manifest)
    document = section.get("mission")
    if document is None:
        return None
    try:
        itinerary = Itinerary.read(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        where = f"{folders[0] / MANIFEST}: identity.section.mission"
        raise ConfigError(f"{where}: is no mission ({error!r})") from None
    clean = {}
    if population is not None and section.get("mode", "ber") == "ber":
        clean = {name: clean_share(itinerary, population, name) for name in itinerary.rates}
    return Missions(itinerary, manifest["seed"], clean)


def _strata(manifest: Mapping[str, Any]) -> Dict[str, int]:
    return {str(name): int(bits) for name, bits in (manifest.get("strata") or {}).items()}
