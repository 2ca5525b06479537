"""Remembers the texts that a job has had in about 40 bytes each; a dictionary would take 140 for each of a million."""

from __future__ import annotations

from array import array
from secrets import randbits

_SHARDS = 256
_HALF = 2**64 - 1
_IN_SHARD_BITS = 56
"""Bits of a place that are left when those that choose the shard are taken off."""


class SeenTexts:
    """A mapping from digests to numbers: hash tables with open addressing, in shards so that growing one is quick.

    A caller can look for texts whose digests begin or end alike, so the places in the tables depend on two random
    numbers of the job: if all texts had the same place, each would take longer than the one before.
    """

    def __init__(self) -> None:
        self._shards: list[_Shard | None] = [None] * _SHARDS  # most jobs are small
        self._factor, self._other_factor = randbits(64) | 1, randbits(64) | 1

    def find(self, digest: str) -> int | None:
        """The number of a digest (32 hexadecimal digits); None if it has none."""
        place, low = self._place(digest)
        shard = self._shards[place >> _IN_SHARD_BITS]
        return None if shard is None else shard.find(place, low)

    def put(self, digest: str, number: int) -> None:
        """Gives a digest a number from 0 to 2**31 - 1, in place of any earlier one."""
        place, low = self._place(digest)
        shard = self._shards[place >> _IN_SHARD_BITS]
        if shard is None:
            shard = self._shards[place >> _IN_SHARD_BITS] = _Shard()
        shard.put(place, low, number)

    def _place(self, digest: str) -> tuple[int, int]:
        """A digest's place among all, of 64 bits, and its second half. Together they are as unique as the digest."""
        low = int(digest[16:], 16)
        return (int(digest[:16], 16) * self._factor + low * self._other_factor) & _HALF, low


class _Shard:
    __slots__ = ("_count", "_lows", "_mask", "_numbers", "_places", "_shift")

    def __init__(self) -> None:
        self._count = 0
        self._resize(8)

    def _resize(self, size: int) -> None:
        self._mask = size - 1
        self._shift = _IN_SHARD_BITS - self._mask.bit_length()
        self._places = array("Q", bytes(8 * size))
        self._lows = array("Q", bytes(8 * size))
        self._numbers = array("i", [-1]) * size

    def find(self, place: int, low: int) -> int | None:
        found = self._numbers[self._slot(place, low)]
        return found if found >= 0 else None

    def put(self, place: int, low: int, number: int) -> None:
        slot = self._slot(place, low)
        self._count += self._numbers[slot] < 0
        self._places[slot], self._lows[slot], self._numbers[slot] = place, low, number
        if 4 * self._count > 3 * self._mask:
            self._grow()

    def _slot(self, place: int, low: int) -> int:
        slot = (place >> self._shift) & self._mask  # the upper bits: all bits of a digest have an effect on them
        while self._numbers[slot] >= 0 and (self._places[slot] != place or self._lows[slot] != low):
            slot = (slot + 1) & self._mask
        return slot

    def _grow(self) -> None:
        entries = [entry for entry in zip(self._places, self._lows, self._numbers, strict=True) if entry[2] >= 0]
        self._resize(2 * len(self._numbers))
        for place, low, number in entries:
            slot = self._slot(place, low)
            self._places[slot], self._lows[slot], self._numbers[slot] = place, low, number
