"""The names of what can guard memory, the weakest first."""

from __future__ import annotations

PARITY, SECDED_72_64, SECDED_39_32, TMR = "parity", "secded_72_64", "secded_39_32", "tmr"
SCHEMES = ("none", PARITY, SECDED_72_64, SECDED_39_32, TMR)
