"""What was upset, as people read it."""

from dataclasses import replace

from seu_plugin.console import print_table
from seu_plugin.injection.statistics import SiteStatistics
from seu_plugin.injection.table import injection_table

SITES = [
    SiteStatistics("conv1", 1e-2, words=100, bits=800, upsets=7, words_hit=6, widths=(8,)),
    SiteStatistics("fc", 1e-2, words=1000, bits=3000, upsets=33, words_hit=30, widths=(3,)),
]


def test_the_adapters_that_found_sites_are_counted(capsys):
    found = [replace(site, adapter=name) for site, name in zip(SITES, ("torch.ao", "mine"))]
    words = SiteStatistics("bn.bias", 1e-2)
    print_table(injection_table([*found, found[0], words], "BER 0.01", seed=9))
    assert "Sites found by torch.ao (2), mine (1)" in capsys.readouterr().out


def test_table_has_a_row_for_each_site_and_their_sum(capsys):
    print_table(injection_table(SITES, "BER 0.01", seed=9))
    lines = capsys.readouterr().out.splitlines()
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells[0] == ["conv1", "8", "100", "800", "7", "8", "6"]
    assert cells[1] == ["fc", "3", "1,000", "3,000", "33", "30", "30"]
    assert cells[2] == ["all", "", "1,100", "3,800", "40", "38", "36"]
