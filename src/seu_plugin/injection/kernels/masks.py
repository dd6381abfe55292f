"""Stream v1 on a GPU (Triton): the masks of a whole site, without waiting for the device.

The same set of bits as :func:`~seu_plugin.faults.fault_map.draw_fault_map`, by integer arithmetic
only. The number of upsets comes from the host, which draws it from the stream's first word.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

#: Rounds that use the whole GPU; the few positions still missing then are drawn by one program.
WIDE_ROUNDS = 6
BLOCK = 1024

# Philox4x64-10 (Salmon et al., SC 2011): multipliers, and what is added to the key each round.
_M0 = tl.constexpr(0xD2E7470EE14C6C93)
_M1 = tl.constexpr(0xCA5A826395121157)
_W0 = tl.constexpr(0x9E3779B97F4A7C15)
_W1 = tl.constexpr(0xBB67AE8584CAA73B)


@triton.jit
def _position(number, seed, site, trial, draw, bits):
    """Position of each ``number`` (0 = the first after the count) of the stream."""
    word = number.to(tl.uint64) + 1
    c0 = word // 4 + 1  # the counter is incremented before the first block
    c1 = c0 * 0
    c2 = c1 + trial
    c3 = c1 + draw
    k0 = c1 + seed
    k1 = c1 + site
    m0 = tl.full((1,), _M0, tl.uint64)
    m1 = tl.full((1,), _M1, tl.uint64)
    w0 = tl.full((1,), _W0, tl.uint64)
    w1 = tl.full((1,), _W1, tl.uint64)
    for _ in tl.static_range(10):
        high0 = tl.umulhi(c0, c1 * 0 + m0)
        high1 = tl.umulhi(c2, c1 * 0 + m1)
        low0 = c0 * m0
        low1 = c2 * m1
        c0 = high1 ^ c1 ^ k0
        c1 = low1
        c2 = high0 ^ c3 ^ k1
        c3 = low0
        k0 = k0 + w0
        k1 = k1 + w1
    lane = word % 4
    value = tl.where(lane == 0, c0, tl.where(lane == 1, c1, tl.where(lane == 2, c2, c3)))
    return tl.umulhi(value, value * 0 + bits)


@triton.jit
def _set(masks, numbers, wanted, seed, site, trial, draw, bits, width):
    """Set the bits of these positions; how many of them were not set before."""
    position = _position(numbers, seed, site, trial, draw, bits).to(tl.int64)
    word = position // width
    bit = (tl.full((1,), 1, tl.int32) << (position - word * width).to(tl.int32)).to(tl.int32)
    before = tl.atomic_or(masks + word, bit, mask=wanted)
    return tl.sum((wanted & ((before & bit) == 0)).to(tl.int64), axis=0)


#: A value of 1 or a multiple of 16 is as good as any other: one compilation each.
_AS_IT_IS = ["n", "rounds", "seed", "site", "trial", "draw", "bits", "width"]


@triton.jit
def _so_far(found, n, rounds):
    """Positions drawn in earlier rounds, and how many are missing after them."""
    drawn = tl.zeros((1,), tl.int64)
    missing = drawn + n
    for earlier in range(rounds):
        drawn += missing
        missing -= tl.load(found + earlier)
    return drawn, missing


@triton.jit(do_not_specialize=_AS_IT_IS)
def _wide_round(masks, found, n, rounds, seed, site, trial, draw, bits, width, BLOCK: tl.constexpr):
    drawn, missing = _so_far(found, n, rounds)
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    wanted = offsets < missing
    new = _set(masks, drawn + offsets, wanted, seed, site, trial, draw, bits, width)
    tl.atomic_add(found + rounds, new, mask=new > 0)


@triton.jit(do_not_specialize=_AS_IT_IS)
def _last_rounds(
    masks, found, n, rounds, seed, site, trial, draw, bits, width, BLOCK: tl.constexpr
):
    before, left = _so_far(found, n, rounds)
    drawn, missing = tl.sum(before, axis=0), tl.sum(left, axis=0)
    while missing > 0:
        # Never more than what is missing, so that the first n distinct positions are met.
        step = tl.minimum(missing, BLOCK)
        offsets = tl.arange(0, BLOCK).to(tl.int64)
        new = _set(masks, drawn + offsets, offsets < step, seed, site, trial, draw, bits, width)
        drawn += step
        missing -= new


def draw_masks(
    n: int,
    words: int,
    width: int,
    device: torch.device,
    seed: int,
    site: int,
    trial: int,
    exposure_draw: int,
) -> torch.Tensor:
    """Which bits of each word flip, given that ``n`` do; int32 of shape [words] on ``device``.

    ``site`` is the 64-bit hash of the site's name. Needs words * width < 2**32. Does not wait
    for the device.
    """
    masks = torch.zeros(words, dtype=torch.int32, device=device)
    if n == 0:
        return masks
    found = torch.zeros(WIDE_ROUNDS, dtype=torch.int64, device=device)
    key = [_signed(part) for part in (seed, site, trial, exposure_draw)]
    grid = (triton.cdiv(n, BLOCK),)
    for number in range(WIDE_ROUNDS):
        _wide_round[grid](masks, found, n, number, *key, words * width, width, BLOCK)
    _last_rounds[(1,)](masks, found, n, WIDE_ROUNDS, *key, words * width, width, BLOCK)
    return masks


def _signed(value: int) -> int:
    """The 64 bits of ``value`` as the int64 that kernels take."""
    return value - (1 << 64) if value >> 63 else value
