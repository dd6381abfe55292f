"""Numbers and tables as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def rounded(number: float) -> str:
    """Four digits, or all before the point where there are more."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


def print_table(table: Table) -> None:
    """Print to standard output, as it is at the time of the call; wide enough for a file."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=max(100, 14 * len(table.columns)))
    console.print(table)
