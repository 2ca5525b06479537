"""The buckets of a stream as they are stored, and as arrays: see `tasks.streams`.

Loads numpy with the first question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tasks.streams.stream import MINUTE_S, QUARTER_S, Buckets

Unit = Literal["minute", "quarter"]
HOUR_S, DAY_S = 3600, 86_400
MINUTES_S = 7 * DAY_S
"""So long after they were touched minutes are kept (`tasks/streams/lua/stream.lua`); then only quarters of an hour are
known."""
_SUMS, _OTHERS = 8, 2
Stored = Iterable[tuple[int, Mapping[bytes, bytes]]]
"""Hashes of buckets, each with the time at which its first bucket begins."""


def places_of(days: Iterable[int], unit: Unit, start: float, end: float) -> list[int]:
    """The numbers of the hashes that there may be in a time: days since 1970, or for minutes hours; in order.

    Args:
        days: the days on which texts were written.
        unit: the length of a bucket.
        start: from when on.
        end: before when.
    """
    found = sorted(day for day in days if start < (day + 1) * DAY_S and day * DAY_S < end)
    if unit == "quarter":
        return found
    hours = (day * 24 + hour for day in found for hour in range(24))
    return [hour for hour in hours if start < (hour + 1) * HOUR_S and hour * HOUR_S < end]


def stored_in(unit: Unit) -> tuple[str, int]:
    """The part of a stream that has its buckets of this length, and the seconds of each of its hashes."""
    return ("m", HOUR_S) if unit == "minute" else ("q", DAY_S)


def length_of(unit: Unit) -> int:
    """The length of a bucket in seconds."""
    return MINUTE_S if unit == "minute" else QUARTER_S


def buckets_of(stored: Stored, length_s: int, start: float, end: float, *, masked: bool) -> Buckets:
    """The buckets of hashes that begin from `start` to before `end`, in order.

    Args:
        stored: the hashes.
        length_s: the seconds of a bucket.
        start: from when on.
        end: before when.
        masked: the Sums with names masked.
    """
    import numpy as np

    starts: dict[bytes, list[int]] = {b"": [], b"m": [], b"x": []}
    rows: dict[bytes, list[bytes]] = {b"": [], b"m": [], b"x": []}
    for begin, fields in stored:
        for field, row in fields.items():
            bucket, _, kind = field.partition(b".")
            starts[kind].append(begin + int(bucket) * length_s)
            rows[kind].append(row)
    all_starts = np.unique(np.array(starts[b""] + starts[b"x"], np.float64))
    sums, others = np.zeros((len(all_starts), _SUMS)), np.zeros((len(all_starts), _OTHERS))
    for kind, to in ((b"", sums), *(((b"m", sums),) if masked else ()), (b"x", others)):
        to[np.searchsorted(all_starts, starts[kind])] += np.frombuffer(b"".join(rows[kind]), "<f8").reshape(
            -1, to.shape[1]
        )
    inside = (start <= all_starts) & (all_starts < end)
    return Buckets(all_starts[inside], sums[inside], others[inside, 0], others[inside, 1])


def joined(parts: Sequence[Buckets]) -> Buckets:
    """The buckets of several times, one after the other, as one."""
    import numpy as np

    if not parts:
        return buckets_of([], MINUTE_S, 0, 0, masked=False)
    if len(parts) == 1:
        return parts[0]
    return Buckets(*(np.concatenate([getattr(part, name) for part in parts]) for name in Buckets.__struct_fields__))
