"""The ``protection`` part of the section: which code guards which bits, and what it costs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Dict, Iterable, Literal, Mapping, Optional, Tuple, Union

from pydantic import Field, StrictInt, field_validator, model_serializer, model_validator

from ..errors import ConfigError, did_you_mean
from ..fields import (
    BitSelection,
    Frozen,
    LayerSelection,
    bit_positions,
    integer,
    selected_bits,
    shown,
)
from .columns import LEXICOGRAPHIC, ORDERS, check_columns
from .ecc import Code, code_of
from .layout import MemorySettings, Packing
from .schemes import SCHEMES


class ProtectionRule(Frozen):
    """How some sites are protected."""

    scheme: Literal[SCHEMES] = Field(  # type: ignore[valid-type]
        description="parity detects; SECDED corrects one upset in a memory word and detects two; "
        "tmr keeps three copies and votes bit by bit"
    )
    layers: LayerSelection = Field(LayerSelection(), description="which sites it protects")
    bits: BitSelection = Field(
        "all",
        description="bit positions of each code that are protected; the others lie in "
        "memory of their own, without protection",
    )
    on_detected: Literal["reload", "zero", "keep"] = Field(
        "reload",
        description="what is read where an upset is detected and not corrected: the "
        "right word, fetched again; weight 0; or what the memory holds",
    )
    data_bits: StrictInt = Field(
        32, ge=1, le=64, description="parity: data bits guarded by one parity bit"
    )

    columns: Union[Literal[ORDERS], Tuple[StrictInt, ...]] = Field(  # type: ignore[valid-type]
        LEXICOGRAPHIC,
        description="SECDED: the order in which data bits take the columns of the code, which "
        "decides what neighbouring upsets do: lexicographic, burst (made for them), or the columns "
        "of one's own code, one for each data bit",
    )

    _positions = field_validator("bits", mode="before")(bit_positions)
    _integer = field_validator("data_bits", mode="before")(integer)

    @field_validator("columns", mode="before")
    @classmethod
    def _order(cls, value: Any) -> Any:
        if value in ORDERS if isinstance(value, str) else isinstance(value, (list, tuple)):
            several = () if isinstance(value, str) else map(integer, value)
            if all(isinstance(one, int) and not isinstance(one, bool) for one in several):
                return value
        hint = did_you_mean(value, ORDERS) if isinstance(value, str) else ""
        raise ValueError(
            f"must be {', '.join(ORDERS)}, or a list of integers, one for each data bit; received "
            f"{shown(value)}{hint}"
        )

    @model_validator(mode="after")
    def _fits(self) -> ProtectionRule:
        if "data_bits" in self.model_fields_set and self.scheme != "parity":
            raise ValueError(
                f"data_bits is for parity; {self.scheme} has its own number of data bits"
            )
        useless = {"tmr": ("on_detected",), "none": ("on_detected", "bits")}
        for key in useless.get(self.scheme, ()):
            if key in self.model_fields_set:
                raise ValueError(f"{key} has no use with scheme {self.scheme}")
        if "columns" in self.model_fields_set and not self.scheme.startswith("secded"):
            raise ValueError(f"columns is for SECDED; received scheme {self.scheme}")
        if not isinstance(self.columns, str):
            code = code_of(self.scheme, self.data_bits)
            assert code is not None
            try:
                check_columns(self.columns, code.data_bits, code.check_bits)
            except ValueError as error:
                raise ValueError(f"columns: {error}") from None
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, dump: Any) -> Dict[str, Any]:
        """Folders from before there was a choice say nothing of it."""
        found: Dict[str, Any] = dump(self)
        if found.get("columns") == LEXICOGRAPHIC:
            del found["columns"]
        return found

    @property
    def code(self) -> Optional[Code]:
        """The code of a memory word; None for ``tmr`` and ``none``."""
        return code_of(self.scheme, self.data_bits, self.columns)

    def protects(self, site: str) -> bool:
        return self.layers.includes(site)


#: Of several rules, the first that names a site holds.
Rules = Tuple[ProtectionRule, ...]


def rule_for(site: str, rules: Rules) -> Optional[ProtectionRule]:
    """The rule that holds for ``site``; None if it is not protected."""
    for rule in rules:
        if rule.protects(site):
            return None if rule.scheme == "none" else rule
    return None


def check_rules(rules: Rules, sites: Mapping[str, int], exposed: Any = "all") -> None:
    """Raise ConfigError for a pattern that names no site, for a bit position that none of a rule's
    sites has, and for a rule that guards nothing exposed. ``sites``: the greatest width of each by
    its name; ``exposed``: the bit positions exposed, as the key ``bits`` has them."""
    for i, rule in enumerate(rules):
        for key, patterns in (("include", rule.layers.include), ("exclude", rule.layers.exclude)):
            for pattern in patterns:
                if not any(fnmatchcase(site, pattern) for site in sites):
                    raise ConfigError(
                        f"protection.{i}.layers.{key}: pattern {pattern!r} matches no site"
                        f"{did_you_mean(pattern, sites)} (sites are {', '.join(sites)})"
                    )
        named = [site for site in sites if rule.protects(site)]
        left = [site for site in named if not any(r.protects(site) for r in rules[:i])]
        if not left:
            why = (
                "earlier rules hold for all of its sites" if named else "excludes all that it names"
            )
            raise ConfigError(f"protection.{i}.layers: {why}, so that it protects nothing")
        widest = max(sites[site] for site in left)
        if not isinstance(rule.bits, str) and max(rule.bits) >= widest:
            raise ConfigError(
                f"protection.{i}.bits: none of its sites has a bit {max(rule.bits)}; the widest "
                f"has {widest} bits (0 ... {widest - 1})"
            )
        if not selected_bits(rule.bits, widest) & selected_bits(exposed, widest):
            raise ConfigError(
                f"protection.{i}.bits: guards {rule.bits} and only bits {exposed} are exposed, so "
                "that it protects nothing"
            )


def packing(codes: int, width: int, bits: Any, word_bits: int, memory: MemorySettings) -> Packing:
    """How the selected bits of ``codes`` codes of ``width`` bits fill memory words.

    Raises ConfigError if aligned packing was asked for and a code is larger than a word.
    """
    mask = selected_bits(bits, width)
    positions = tuple(b for b in range(width) if mask >> b & 1)
    if memory.packing == "aligned" and len(positions) > word_bits:
        raise ConfigError(
            f"memory.packing: aligned packing needs codes of {len(positions)} bits to fit into "
            f"memory words of {word_bits}"
        )
    return Packing(codes, positions, word_bits, memory.packing == "aligned")


def extra_bits(
    rule: Optional[ProtectionRule], codes: int, width: int, memory: MemorySettings
) -> int:
    """What ``rule`` adds to a site of ``codes`` codes of ``width`` bits: check bits or copies."""
    if rule is None:
        return 0
    positions = bin(selected_bits(rule.bits, width)).count("1")
    if not positions:
        return 0
    if rule.code is None:
        return 2 * codes * positions
    words = packing(codes, width, rule.bits, rule.code.data_bits, memory).words
    return words * rule.code.check_bits


def total_extra_bits(
    rules: Rules, memory: MemorySettings, sites: Iterable[Tuple[str, int, int]]
) -> int:
    """:func:`extra_bits` of all ``sites``: (name, codes, width)."""
    return sum(
        extra_bits(rule_for(name, rules), codes, width, memory) for name, codes, width in sites
    )
