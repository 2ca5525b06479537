"""Remembers the texts that a job has had in about 40 bytes each; a dictionary would take 140 for each of a million."""

from __future__ import annotations

from array import array

_SHARDS = 256


class SeenTexts:
    """A mapping from digests to numbers: hash tables with open addressing, in shards so that growing one is quick."""

    def __init__(self) -> None:
        self._shards: list[_Shard | None] = [None] * _SHARDS  # most jobs are small

    def find(self, digest: str) -> int | None:
        """The number of a digest (32 hexadecimal digits); None if it has none."""
        high, low = _halves(digest)
        shard = self._shards[high % _SHARDS]
        return None if shard is None else shard.find(high // _SHARDS, low)

    def put(self, digest: str, number: int) -> None:
        """Gives a digest a number from 0 to 2**31 - 1, in place of any earlier one."""
        high, low = _halves(digest)
        shard = self._shards[high % _SHARDS]
        if shard is None:
            shard = self._shards[high % _SHARDS] = _Shard()
        shard.put(high // _SHARDS, low, number)


def _halves(digest: str) -> tuple[int, int]:
    return int(digest[:16], 16), int(digest[16:], 16)


class _Shard:
    __slots__ = ("_count", "_highs", "_lows", "_mask", "_numbers")

    def __init__(self) -> None:
        self._count = 0
        self._resize(8)

    def _resize(self, size: int) -> None:
        self._mask = size - 1
        self._highs = array("Q", bytes(8 * size))
        self._lows = array("Q", bytes(8 * size))
        self._numbers = array("i", [-1]) * size

    def find(self, high: int, low: int) -> int | None:
        found = self._numbers[self._slot(high, low)]
        return found if found >= 0 else None

    def put(self, high: int, low: int, number: int) -> None:
        slot = self._slot(high, low)
        self._count += self._numbers[slot] < 0
        self._highs[slot], self._lows[slot], self._numbers[slot] = high, low, number
        if 4 * self._count > 3 * self._mask:
            self._grow()

    def _slot(self, high: int, low: int) -> int:
        slot = high & self._mask
        while self._numbers[slot] >= 0 and (self._highs[slot] != high or self._lows[slot] != low):
            slot = (slot + 1) & self._mask
        return slot

    def _grow(self) -> None:
        entries = [entry for entry in zip(self._highs, self._lows, self._numbers, strict=True) if entry[2] >= 0]
        self._resize(2 * len(self._numbers))
        for high, low, number in entries:
            slot = self._slot(high, low)
            self._highs[slot], self._lows[slot], self._numbers[slot] = high, low, number
