"""Errors, and the sentence that helps to mend a misspelled name."""

from __future__ import annotations

import difflib
from typing import Any, Iterable, List, Optional

from rfquant_hooks.contract import PluginError

#: An error line is for a person: longer ones lose their middle.
LONGEST_LINE = 400
_WORD = 80


class SeuError(PluginError):
    """Base of every error of this package."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(_shortened(printable(str(line))) for line in lines))

    @property
    def lines(self) -> List[str]:
        """The message, a line for each mistake."""
        return str(self).split("\n")

    def __reduce__(self) -> Any:
        return type(self), tuple(self.lines)


class ConfigError(SeuError, ValueError):
    """A setting is wrong: names its path, what is allowed and what was received."""


class BitWidthError(SeuError, ValueError):
    """A bit-width file or list does not fit its format or the model."""


class SiteError(SeuError, ValueError):
    """The model has no such site, or a site cannot be read as quantized memory."""


class InjectionError(SeuError, RuntimeError):
    """Injection was asked for and did not happen as asked."""


class SeuWarning(UserWarning):
    """Something that does not make a result wrong but that its reader should know."""


def printable(text: str) -> str:
    """``text`` in one line, with what a terminal would act on written as Python writes it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _shortened(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    head, tail = line[: LONGEST_LINE - 105], line[-100:]
    # Between words; what has none for so long is no word, and is cut anywhere.
    last, first = head.rfind(" ", len(head) - _WORD), tail.find(" ", 0, _WORD)
    head = head if last < 0 else head[:last]
    return f"{head} ... {tail[first + 1 :]}"


def nearest(name: str, allowed: Iterable[str], cutoff: float = 0.6) -> Optional[str]:
    """The allowed name most like ``name``, or None if none is like it."""
    if len(name) > 80:  # no slip of the keyboard
        return None
    by_lower = {one.lower(): one for one in allowed}
    name = name.lower()
    found = difflib.get_close_matches(name, by_lower, n=1, cutoff=cutoff)
    if not found and len(name) > 2:
        found = [one for one in by_lower if one.startswith(name)][:1]
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` or the empty string."""
    found = nearest(name, allowed)
    return f"; did you mean {found!r}?" if found else ""
