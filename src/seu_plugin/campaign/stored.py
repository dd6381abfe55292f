"""What a campaign's faults may strike: the stored bits of a model's weights. No forward is run."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Sequence

from ..errors import ConfigError
from ..faults.placing import Memory
from ..faults.site_memory import SiteMemory
from ..fields import selected_bits
from ..quantizers.contract import Site
from ..settings.injection import InjectionSettings


class Stored(NamedTuple):
    """Selected sites, and the bit widths that each was used at in the golden run."""

    sites: Sequence[Site]
    widths: Mapping[str, List[int]]
    settings: InjectionSettings

    @property
    def memory(self) -> Memory:
        """Words and exposed bits of each site. Raises ConfigError if it was used at several
        widths: bit positions then mean several things."""
        found = {}
        for site in self.sites:
            widths = self.widths[site.name]
            if len(widths) > 1:
                raise ConfigError(
                    f"campaign.sensitivity: site {site.name!r} was evaluated at several widths "
                    f"({', '.join(map(str, widths))}): evaluate one architecture at a time"
                )
            for width in widths:
                mask = selected_bits(self.settings.bits, width)
                found[site.name] = site.words, [b for b in range(width) if mask >> b & 1]
        return found

    @property
    def bits(self) -> int:
        """Stored bits of weights under exposure, once for each width that a site was used at."""
        if "weights" not in self.settings.targets:
            return 0
        return sum(
            site.words * bin(selected_bits(self.settings.bits, width)).count("1")
            for site in self.sites
            for width in self.widths[site.name]
        )

    @property
    def extra_bits(self) -> int:
        """Stored bits that protection adds, once for each width that a site was used at."""
        return sum(
            SiteMemory(site.name, site.words, width, self.settings).extra_bits
            for site in self.sites
            for width in self.widths[site.name]
        )
