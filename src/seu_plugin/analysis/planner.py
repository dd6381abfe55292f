"""The cheapest protection that keeps the accuracy drop below a target. No torch.

The model is additive: the expected drop is the sum over strata of (stored bits) * (residual BER of
the scheme) * (drop per upset, as a sensitivity study measured it). It holds while upsets are few
and do not interact; a campaign has to verify what it proposes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import ConfigError
from ..memory.ecc import code_of
from ..memory.layout import MemorySettings
from ..memory.protection import ProtectionRule, extra_bits
from ..memory.residual import residual_ber

#: Drops are counted in such parts of the target, rounded up: what is proposed keeps the target.
_STEPS = 20_000
PARITY_BITS = 32


class Part(NamedTuple):
    """A site: name, codes, width, and the drop per upset (percentage points, not below 0) at each
    bit position, lowest first; the same at all where the study did not tell bits apart."""

    site: str
    codes: int
    width: int
    drops: Tuple[float, ...]


class Choice(NamedTuple):
    """A scheme over the ``bits`` highest positions of a site: its cost and the drop left."""

    scheme: str
    bits: int
    cost: int
    drop: float


@dataclass(frozen=True)
class Plan:
    """``choices`` by site name; ``cost`` in bits, of ``stored`` data bits; ``drop`` predicted, and
    ``unprotected`` without protection; in percentage points."""

    choices: Mapping[str, Choice]
    cost: int
    stored: int
    drop: float
    unprotected: float
    widths: Mapping[str, int]

    def rules(self, on_detected: str) -> List[Dict[str, object]]:
        """As the YAML key ``protection``: one rule for all sites with the same scheme and bits."""
        grouped: Dict[Tuple[str, Optional[Tuple[int, ...]]], List[str]] = {}
        for site, choice in self.choices.items():
            width = self.widths[site]
            positions = tuple(range(width - choice.bits, width))
            if choice.scheme != "none":
                key = (choice.scheme, None if choice.bits == width else positions)
                grouped.setdefault(key, []).append(site)
        rules = []
        for (scheme, some), sites in grouped.items():
            rule: Dict[str, object] = {"scheme": scheme, "layers": {"include": sites}}
            if some is not None:
                rule["bits"] = list(some)
            if scheme != "tmr":
                rule["on_detected"] = on_detected
            if scheme == "parity":
                rule["data_bits"] = PARITY_BITS
            rules.append(rule)
        return rules


def plan(
    parts: Sequence[Part],
    ber: float,
    max_drop: float,
    schemes: Sequence[str],
    on_detected: str = "reload",
    budget: Optional[int] = None,
    memory: Optional[MemorySettings] = None,
) -> Plan:
    """The cheapest assignment with a predicted drop of at most ``max_drop`` percentage points.

    Raises ConfigError if none of at most ``budget`` bits has it, and says what is the least.
    """
    where = memory or MemorySettings()
    rates = {scheme: _residual(scheme, ber, on_detected) for scheme in schemes}
    options = {part.site: _choices(part, ber, rates, where) for part in parts}
    unprotected = sum(choices[0].drop for choices in options.values())
    stored = sum(part.codes * part.width for part in parts)
    unit = max_drop / _STEPS
    # Pareto front of (cost, drop) over the sites so far; by rounded-up drop the cheapest.
    front: Dict[int, Tuple[int, Tuple[Choice, ...]]] = {0: (0, ())}
    for part in parts:
        merged: Dict[int, Tuple[int, Tuple[Choice, ...]]] = {}
        for drop, (cost, chosen) in front.items():
            for choice in options[part.site]:
                total = drop + _rounded_up(choice.drop, unit)
                spent = cost + choice.cost
                if total > _STEPS or (budget is not None and spent > budget):
                    continue
                if total not in merged or spent < merged[total][0]:
                    merged[total] = (spent, (*chosen, choice))
        front = _pareto(merged)
    if not front:
        raise ConfigError(_why_not(options.values(), max_drop, budget))
    cost, chosen = min(front.values(), key=lambda item: item[0])
    return Plan(
        {part.site: choice for part, choice in zip(parts, chosen)},
        cost,
        stored,
        sum(choice.drop for choice in chosen),
        unprotected,
        {part.site: part.width for part in parts},
    )


def strongest(
    parts: Sequence[Part],
    ber: float,
    schemes: Sequence[str],
    on_detected: str = "reload",
    budget: Optional[int] = None,
    memory: Optional[MemorySettings] = None,
) -> Plan:
    """All bits of every site under the scheme that leaves least, whatever a study says of the site.

    Raises ConfigError if that takes more than ``budget`` bits.
    """
    where = memory or MemorySettings()
    rates = {scheme: _residual(scheme, ber, on_detected) for scheme in schemes}
    least = min(rates, key=lambda scheme: rates[scheme])
    options = {p.site: _choices(p, ber, {least: rates[least]}, where) for p in parts}
    chosen = {site: choices[-1] for site, choices in options.items()}
    cost = sum(choice.cost for choice in chosen.values())
    if budget is not None and cost > budget:
        raise ConfigError(f"{least} for every site takes {cost:,} bits, more than {budget:,}")
    return Plan(
        chosen,
        cost,
        sum(part.codes * part.width for part in parts),
        sum(choice.drop for choice in chosen.values()),
        sum(choices[0].drop for choices in options.values()),
        {part.site: part.width for part in parts},
    )


def _pareto(
    found: Mapping[int, Tuple[int, Tuple[Choice, ...]]],
) -> Dict[int, Tuple[int, Tuple[Choice, ...]]]:
    kept: Dict[int, Tuple[int, Tuple[Choice, ...]]] = {}
    cheapest: Optional[int] = None
    for drop in sorted(found):
        if cheapest is None or found[drop][0] < cheapest:
            cheapest = found[drop][0]
            kept[drop] = found[drop]
    return kept


def _rounded_up(drop: float, unit: float) -> int:
    return -int(-drop // unit) if drop > 0.0 else 0


def _residual(scheme: str, ber: float, on_detected: str) -> float:
    code = code_of(scheme, PARITY_BITS)
    return residual_ber(code, scheme, ber, on_detected)


def _choices(
    part: Part,
    ber: float,
    rates: Mapping[str, float],
    memory: MemorySettings,
) -> List[Choice]:
    """No protection first; then every scheme over the highest bits, or over all of them where the
    study did not tell them apart."""
    whole = [part.codes * ber * drop for drop in part.drops]
    found = [Choice("none", 0, 0, sum(whole))]
    apart = len(set(part.drops)) > 1
    for scheme, rate in rates.items():
        for bits in range(1, part.width + 1) if apart else (part.width,):
            positions = tuple(range(part.width - bits, part.width))
            given: Dict[str, object] = {"scheme": scheme, "bits": positions}
            if scheme == "parity":
                given["data_bits"] = PARITY_BITS
            cost = extra_bits(ProtectionRule(**given), part.codes, part.width, memory)
            left = sum(whole[: part.width - bits])
            left += sum(part.codes * rate * drop for drop in part.drops[part.width - bits :])
            found.append(Choice(scheme, bits, cost, left))
    return found


def _why_not(options: Iterable[Sequence[Choice]], max_drop: float, budget: Optional[int]) -> str:
    best = [min(choices, key=lambda c: (c.drop, c.cost)) for choices in options]
    least, cost = sum(c.drop for c in best), sum(c.cost for c in best)
    within = "" if budget is None else f" within {budget:,} bits"
    return (
        f"no assignment keeps the predicted drop at or below {max_drop:g} percentage points"
        f"{within}: the most that these schemes can do leaves {least:.3g} at {cost:,} bits"
    )
