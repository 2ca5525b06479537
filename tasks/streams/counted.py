"""What is added to a stream in one step, in the form that `lua/stream.lua` reads."""

from __future__ import annotations

from struct import Struct as Packed

import msgspec

from tasks.streams.stream import OTHER

ENTRY = Packed("<8sqdddddbQQ")
"""An entry of a sample: the hash (its bytes in big-endian order), the time in milliseconds, p_neg, p_pos, whether
masking changed something (1 or 0), the two with the segment's name masked, the label that it was sent with (-1: none),
and the hashes of its text and its author (0: none)."""
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
    rows: list[msgspec.Raw] = []
    """See `tasks.streams.unseen`."""


class Counted(msgspec.Struct):
    """Texts to be added to a stream."""

    segments: list[str]
    most_segments: int
    sample_size: int
    ids: WithIds
    buckets: list[tuple[int, int, list[float], list[float], list[float]]] = []
    """Of texts without ids, by segment (its number in `segments`) and minute since 1970: their Sums, by how much
    masking changes them, and how many failed and were not read."""
    rows: msgspec.Raw = msgspec.Raw(b"\xa0")
    """Of texts without ids, joined: see `tasks.streams.unseen`."""
    authors: list[tuple[int, int, list[msgspec.Raw]]] = []
    """By segment and day since 1970."""
    sample: list[tuple[str, int, float, msgspec.Raw, int, str | None]] = []
    """Candidates: the sample (`sample`, or `gold` for texts that were sent with labels at random), the segment, the
    hash as a float, ENTRY, the place among texts with ids from 1 (0: it has no id), and the text if it is kept."""
    other: str = OTHER


_encode = msgspec.msgpack.Encoder().encode


def as_raw(data: bytes) -> msgspec.Raw:
    """Bytes as the server's reader of msgpack takes them, which knows no type for bytes: as a string."""
    return msgspec.Raw(b"\xdb" + len(data).to_bytes(4, "big") + data)


def write_counted(counted: Counted) -> bytes:
    """The form in which the script takes it."""
    return _encode(counted)


def place_of(key: int) -> float:
    """A hash as a score of a sorted set, which has 53 bits."""
    return float(key >> (64 - _PLACE_BITS))


def id_columns(key: int) -> tuple[str, int]:
    """An id's hash as `WithIds` has it."""
    return str(key - 2**64 if key >= 2**63 else key), key & 0xFFFFFFFF
