"""What is added to a stream in one step, in the form that `lua/stream.lua` reads."""

from __future__ import annotations

from struct import Struct as Packed

import msgspec

from tasks.streams.lines import keyed
from tasks.streams.stream import OTHER

RECORD = Packed("<qHddQQ")
"""A counted text for whoever looks for shifts: its time in milliseconds, its segment (the number in what is added),
p_neg, p_pos, and the keyed hashes of its text and its author (0: none)."""
ENTRY = Packed("<8sqffffffQQ")
"""An entry of a sample: the hash (big-endian, so that entries are in its order), the time in milliseconds, the scores,
those with the segment's name masked, the hashes of its text and its author."""
FAILED, UNREAD = 3, 4
"""Stand in the place of a label."""
_PLACE_BITS = 53
"""Bits of a hash that a score of a sorted set has."""


class WithIds(msgspec.Struct):
    """Texts that came with an id, as columns."""

    id: list[str] = []
    """The hashes of the ids, as signed numbers in decimal: sets of integers take 8 bytes for each."""
    bits: list[int] = []
    """Some bits of the hash, by which the sets are chosen."""
    segment: list[int] = []
    minute: list[int] = []
    label: list[int] = []
    """0 to 2, or FAILED or UNREAD."""
    neg: list[float] = []
    pos: list[float] = []
    masked_label: list[int] = []
    """-1 if masking changed nothing."""
    masked_neg: list[float] = []
    masked_pos: list[float] = []
    records: bytes = b""
    """RECORD of each."""


class Counted(msgspec.Struct):
    """Texts to be added to a stream."""

    segments: list[str]
    most_segments: int
    sample_size: int
    ids: WithIds
    buckets: list[tuple[int, int, list[float], list[float], list[float]]] = []
    """Of texts without ids, by segment (its number in `segments`) and minute since 1970: their Sums, by how much masking
    changes them, and how many failed and were not read."""
    records: bytes = b""
    """RECORD of each text without an id that has a label."""
    authors: list[tuple[int, int, list[bytes]]] = []
    """By segment and day since 1970."""
    sample: list[tuple[int, float, bytes, int, str | None]] = []
    """Candidates: the segment, the hash as a float, ENTRY, the place among texts with ids from 1 (0: it has no id), and
    the text if the sample keeps texts."""
    other: str = OTHER
    record_bytes: int = RECORD.size


_encode = msgspec.msgpack.Encoder().encode


def write_counted(counted: Counted) -> bytes:
    """The form in which the script takes it."""
    return _encode(counted)


def place_of(key: int) -> float:
    """A hash as a score of a sorted set, which has 53 bits."""
    return float(key >> (64 - _PLACE_BITS))


def id_columns(key: int) -> tuple[str, int]:
    """An id's hash as `WithIds` has it."""
    return str(key - 2**64 if key >= 2**63 else key), key & 0xFFFFFFFF


__all__ = ["ENTRY", "FAILED", "RECORD", "UNREAD", "Counted", "WithIds", "id_columns", "keyed", "place_of"]
