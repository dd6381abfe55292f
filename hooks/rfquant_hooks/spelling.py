"""The sentence that helps to mend a misspelled name."""

from __future__ import annotations

import difflib
from typing import Iterable


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` with the nearest of the ``allowed``, or the empty string."""
    near = difflib.get_close_matches(name[:80], list(allowed), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(value: object) -> str:
    """``value`` as Python writes it, short enough for a line."""
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-15:]}"
