"""The names of what can guard memory; their codes are in ecc.py."""

from __future__ import annotations

NONE = "none"
PARITY = "parity"
SECDED_72_64 = "secded_72_64"
SECDED_39_32 = "secded_39_32"
TMR = "tmr"
SCHEMES = (NONE, PARITY, SECDED_72_64, SECDED_39_32, TMR)
