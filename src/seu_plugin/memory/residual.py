"""Bit error rates behind a decoder, in closed form. No torch.

With independent upsets of probability p the syndrome is a sum over GF(2) of columns that each take
part with probability p. Its distribution follows column by column, exact at every p, with no cut at
some number of upsets.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from .ecc import DETECTED, Code, actions

Floats = npt.NDArray[np.float64]


class Residual(NamedTuple):
    """``ber``: probability that a data bit is read wrong. Of a memory word: ``corrected``, the
    decoder changed a bit; ``detected``, it gave the word up."""

    ber: float
    corrected: float
    detected: float


def residual(code: Code, ber: float, on_detected: str = "reload") -> Residual:
    """What is left of upsets at ``ber`` in all cells of a code word, check bits included.

    With ``on_detected: zero`` the words given up count as read right: how many bits are wrong then
    depends on what was stored.
    """
    singles = [1 << i for i in range(code.check_bits)]
    columns = np.array([*code.columns, *singles], dtype=np.int64)
    action = actions(code)
    given_up = action == DETECTED
    wrong = 0.0
    for bit in range(code.data_bits):
        others = _syndrome_law(np.delete(columns, bit), code.check_bits, ber)
        # With this bit upset, the syndrome of the others is shifted by its column.
        upset = others[np.arange(others.size) ^ columns[bit]]
        stays = action != bit
        if on_detected != "keep":
            stays &= ~given_up
        wrong += ber * float(upset[stays].sum()) + (1 - ber) * float(others[action == bit].sum())
    law = _syndrome_law(columns, code.check_bits, ber)
    return Residual(
        wrong / code.data_bits, float(law[action >= 0].sum()), float(law[given_up].sum())
    )


def voted(ber: float) -> float:
    """BER of a bit after the vote of three copies: 3 p^2 - 2 p^3."""
    return ber * ber * (3.0 - 2.0 * ber)


def residual_ber(code: Optional[Code], scheme: str, ber: float, on_detected: str) -> float:
    """BER of the data bits that ``scheme`` guards."""
    if scheme == "none":
        return ber
    return voted(ber) if code is None else residual(code, ber, on_detected).ber


def _syndrome_law(columns: npt.NDArray[np.int64], check_bits: int, ber: float) -> Floats:
    """Probability of each syndrome; float64 of shape [2**check_bits]. Column by column; nothing is
    subtracted, so that the smallest probabilities keep their digits."""
    syndromes = np.arange(1 << check_bits)
    law: Floats = np.zeros(syndromes.size)
    law[0] = 1.0
    for column in columns.tolist():
        law = (1.0 - ber) * law + ber * law[syndromes ^ column]
    return law
