"""The memory of one site: what its fault model does to it, and what is read of it. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Literal, Optional, Protocol, Sequence, Tuple, Union

from ..errors import ConfigError
from ..fields import BitSelection, selected_bits
from ..memory.codecs import codec
from ..memory.ecc import Code
from ..memory.layout import Array, MemorySettings
from ..memory.protection import ProtectionRule, extra_bits, packing, rule_for
from .blocks import Block, BlockDraw
from .cell_map import CellMap, empty, together
from .decoding import CodeWords, ProtectedMap
from .drawn import Drawn
from .fault_map import FaultMap, draw_fault_map
from .mechanisms import (
    Asymmetric,
    AsymmetricRates,
    CellModel,
    Clusters,
    ClusterSettings,
    Flips,
    StuckAt,
    too_large,
)
from .seeding import Stream, Streams

Model = Union[CellModel, Clusters]


class FaultSettings(Protocol):
    """What is asked of settings: the fault model, and the memory that it strikes."""

    @property
    def mode(self) -> str: ...
    @property
    def stuck_at(self) -> Literal[0, 1, "random"]: ...
    @property
    def asymmetric(self) -> AsymmetricRates: ...
    @property
    def mbu(self) -> Optional[ClusterSettings]: ...
    @property
    def bits(self) -> BitSelection: ...
    @property
    def encoding(self) -> str: ...
    @property
    def memory(self) -> MemorySettings: ...
    @property
    def protection(self) -> Tuple[ProtectionRule, ...]: ...


@dataclass(frozen=True)
class ReadMap:
    """What is read of a site under one fault map.

    ``map``: where it differs from what was written, and how; a FaultMap where that does not depend
    on the stored codes. ``upsets``: stored bits that changed, check bits included; None where it
    depends on them. ``drawn``: what the fault model drew, empty for plain ``ber``.
    """

    map: Union[FaultMap, CellMap, ProtectedMap]
    upsets: Optional[int]
    drawn: Tuple[Drawn, ...] = ()
    corrected: int = 0
    detected: int = 0

    @property
    def harmless(self) -> bool:
        """Whether everything is read right, whatever is stored."""
        return not self.map.index.size


#: What is given in place of a draw: upsets of the codes, or all that is read.
Given = Union[FaultMap, ReadMap]


def fault_model(settings: FaultSettings) -> Model:
    """The fault model of ``settings.mode``."""
    if settings.mode == "stuck_at":
        return StuckAt(settings.stuck_at)
    if settings.mode == "asymmetric":
        return Asymmetric(settings.asymmetric)
    if settings.mode == "mbu":
        assert settings.mbu is not None
        return Clusters(settings.mbu)
    return Flips()


@dataclass(frozen=True)
class SiteMemory:
    """``codes`` codes of ``width`` bits of site ``name``, under ``settings``.

    Raises ConfigError if the codes or the clusters do not fit the memory.
    """

    name: str
    codes: int
    width: int
    settings: FaultSettings

    def __post_init__(self) -> None:
        clusters = self.settings.mbu if self.settings.mode == "mbu" else None
        for block in self.blocks if clusters is not None or self.rule is not None else ():
            if clusters is not None and too_large(clusters, block.array):
                raise ConfigError(
                    f"mbu.sizes: a cluster of {max(clusters.sizes)} cells "
                    f"({clusters.shape}) is longer than a row of the memory of site {self.name!r}, "
                    f"which has {block.array.row_cells} cells (memory.row_words)"
                )

    @property
    def model(self) -> Model:
        return fault_model(self.settings)

    @property
    def rule(self) -> Optional[ProtectionRule]:
        """What protects the site; a narrow one may have none of the protected positions."""
        rule = rule_for(self.name, self.settings.protection)
        return rule if rule is not None and selected_bits(rule.bits, self.width) else None

    @property
    def exposed(self) -> int:
        """The exposed bit positions of a code, as a mask."""
        return selected_bits(self.settings.bits, self.width)

    @property
    def extra_bits(self) -> int:
        """Check bits, or bits of further copies."""
        return extra_bits(self.rule, self.codes, self.width, self.settings.memory)

    @property
    def exposed_extra_bits(self) -> int:
        """Of :attr:`extra_bits`, those under exposure: copies of exposed bits, all check bits."""
        rule = self.rule
        if rule is None or rule.code is not None:
            return self.extra_bits
        both = selected_bits(rule.bits, self.width) & self.exposed
        return 2 * self.codes * bin(both).count("1")

    @property
    def blocks(self) -> List[Block]:
        """The arrays of cells that hold the site."""
        rule = self.rule
        every = (1 << self.width) - 1
        guarded = selected_bits(rule.bits, self.width) if rule is not None else 0
        blocks = []
        if rule is not None and rule.code is not None:
            blocks.append(self._block("", guarded, rule.code))
        elif rule is not None:
            blocks += [self._block(purpose, guarded) for purpose in COPIES]
        if guarded != every:
            blocks.append(self._block("unprotected bits" if guarded else "", every & ~guarded))
        return blocks

    def _block(self, purpose: str, mask: int, code: Optional[Code] = None) -> Block:
        memory = self.settings.memory
        bits = tuple(b for b in range(self.width) if mask >> b & 1)
        word_bits = memory.word_bits if code is None else code.data_bits
        packed = packing(self.codes, self.width, bits, word_bits, memory)
        cells = word_bits + (0 if code is None else code.check_bits)
        array = Array(packed.words, cells, memory.row_words, memory.interleaving)
        return Block(purpose, packed, array, code)

    def draw(self, ber: float, stream: Stream, streams: Streams) -> ReadMap:
        """One fault map. ``stream`` is the site's own, at its start; others are of ``streams``."""
        model, rule = self.model, self.rule
        if rule is None and isinstance(model, Flips):
            found = draw_fault_map(stream, self.codes, self.width, ber)
            if self.exposed != (1 << self.width) - 1:
                found = found.restricted_to(self.exposed)
            return ReadMap(found, found.upsets)
        if isinstance(model, Clusters):
            return self._clusters(model, ber, streams)
        data, drawn = model.draw(streams, "", self.codes, self.width, ber)
        data = data.restricted_to(self.exposed)
        if rule is None:
            return _read(data, drawn)
        if rule.code is None:
            copies = [data]
            for copy in COPIES[1:]:
                other, more = model.draw(streams, copy, self.codes, self.width, ber)
                copies.append(other.restricted_to(self.exposed))
                drawn += more
            return self._voted(rule, copies, drawn)
        words = packing(
            self.codes, self.width, rule.bits, rule.code.data_bits, self.settings.memory
        ).words
        check, more = model.draw(streams, "check bits", words, rule.code.check_bits, ber)
        return self._decoded(rule, data, check, (*drawn, *more))

    def read(self, fault_map: FaultMap) -> ReadMap:
        """What is read under given upsets of the codes, and of nothing else."""
        data, rule = CellMap.of(fault_map), self.rule
        if rule is None:
            return ReadMap(fault_map, fault_map.upsets)
        if rule.code is None:
            return self._voted(rule, [data, empty(), empty()], ())
        return self._decoded(rule, data, empty(), ())

    def under(self, copies: Sequence[CellMap], check: CellMap) -> ReadMap:
        """What is read under what happens to the codes (of ``tmr``, to each copy of them), and to
        the check bits of memory words."""
        rule = self.rule
        if rule is None:
            return _read(copies[0], ())
        if rule.code is None:
            return self._voted(rule, copies, ())
        return self._decoded(rule, copies[0], check, ())

    def _clusters(self, model: Clusters, ber: float, streams: Streams) -> ReadMap:
        return self.under_clusters([block.cells(model, streams, ber) for block in self.blocks])

    def under_clusters(self, draws: Sequence[BlockDraw]) -> ReadMap:
        """What is read under what clusters do to each of :attr:`blocks`."""
        drawn = tuple(one for draw in draws for one in draw.drawn)
        data = [draw.data.restricted_to(self.exposed) for draw in draws]
        rule = self.rule
        if rule is None:
            return _read(data[0], drawn)
        if rule.code is None:
            data[0] = together(data[0], *data[3:])  # of bits that no copy holds
            return self._voted(rule, data[:3], drawn)
        return self._decoded(rule, together(*data), draws[0].check, drawn)

    def _voted(
        self, rule: ProtectionRule, copies: Sequence[CellMap], drawn: Tuple[Drawn, ...]
    ) -> ReadMap:
        guarded = selected_bits(rule.bits, self.width)
        plain = copies[0].restricted_to(~guarded)
        votes = tuple(copy.restricted_to(guarded) for copy in copies)
        return self._protected(
            ProtectedMap(plain, rule.on_detected, self._zero, None, votes), drawn
        )

    def _decoded(
        self, rule: ProtectionRule, data: CellMap, check: CellMap, drawn: Tuple[Drawn, ...]
    ) -> ReadMap:
        assert rule.code is not None
        guarded = selected_bits(rule.bits, self.width)
        memory = self.settings.memory
        packed = packing(self.codes, self.width, rule.bits, rule.code.data_bits, memory)
        words = CodeWords.of(rule.code, packed, data.restricted_to(guarded), check)
        plain = data.restricted_to(~guarded)
        return self._protected(ProtectedMap(plain, rule.on_detected, self._zero, words), drawn)

    def _protected(self, found: ProtectedMap, drawn: Tuple[Drawn, ...]) -> ReadMap:
        if not found.independent:
            return ReadMap(found, None, drawn)
        wrong, seen = found.always()
        return ReadMap(wrong.fault_map(), seen.upsets, drawn, seen.corrected, seen.detected)

    @property
    def _zero(self) -> int:
        """The stored word of weight 0."""
        return int(codec(self.settings.encoding).encode(0, self.width))


#: The streams of the copies that ``tmr`` keeps: the first is the site's own.
COPIES = ("", "copy 1", "copy 2")


def _read(data: CellMap, drawn: Tuple[Drawn, ...]) -> ReadMap:
    if data.independent:
        found = data.fault_map()
        return ReadMap(found, found.upsets, drawn)
    return ReadMap(data, None, drawn)
