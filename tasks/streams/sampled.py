"""The sample of a segment as it is stored: as columns, which estimates need, or as entries, one for each text.

Loads numpy with the first question for columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tasks.streams.counted import ENTRY
from tasks.streams.stream import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.shares.sums import Floats

_COLUMNS = [
    ("key", ">u8"),
    ("time_ms", "<i8"),
    ("neg", "<f8"),
    ("pos", "<f8"),
    ("is_masked", "<f8"),
    ("masked_neg", "<f8"),
    ("masked_pos", "<f8"),
    ("gold", "i1"),
    ("words", "<u8"),
    ("author", "<u8"),
]
"""Those of `tasks.streams.counted.ENTRY`."""


class Sample:
    """Texts of a segment, in the order of their keyed hashes: any first n of them are a uniform random sample without
    replacement.
    """

    def __init__(self, segment: str, packed: Iterable[bytes] = ()) -> None:
        """`packed`: its entries as they are stored, which begin with the hash."""
        self.segment = segment
        self._packed = sorted(packed)

    def __len__(self) -> int:
        """The number of texts."""
        return len(self._packed)

    @cached_property
    def _columns(self) -> NDArray[Any]:
        import numpy as np

        return np.frombuffer(b"".join(self._packed), np.dtype(_COLUMNS))

    def within(self, start: float | None, end: float | None) -> Sample:
        """Those that were written from `start` to before `end` (Unix seconds; None: no limit)."""
        if start is None and end is None:
            return self
        low, high = -math.inf if start is None else 1000 * start, math.inf if end is None else 1000 * end
        times = self._columns["time_ms"].tolist()
        inside = (one for one, time_ms in zip(self._packed, times, strict=True) if low <= time_ms < high)
        return Sample(self.segment, inside)

    @property
    def ids(self) -> list[str]:
        """See `Entry.id`."""
        return [packed[:8].hex() for packed in self._packed]

    @property
    def times(self) -> Floats:
        """When they were written, in Unix seconds, shape (n,)."""
        times: Floats = self._columns["time_ms"] / 1000
        return times

    def scores(self, *, masked: bool = False) -> Floats:
        """Their scores, shape (n, 3). `masked`: with the segment's name masked, where that changed anything."""
        import numpy as np

        columns = self._columns
        changed = (columns["is_masked"] != 0) & masked
        neg, pos = (np.where(changed, columns[f"masked_{name}"], columns[name]) for name in ("neg", "pos"))
        return np.column_stack([neg, np.maximum(0.0, 1.0 - neg - pos), pos])

    @property
    def clusters(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """For each text, a number that is the same for texts of one author, and one that is for equal texts. Without
        an author, each text is by somebody else.
        """
        import numpy as np

        authors, words = self._columns["author"], self._columns["words"]
        return np.where(authors == 0, np.arange(len(self), dtype=np.uint64), authors), words

    def entries(self, texts: Mapping[bytes, bytes] | None = None) -> list[Entry]:
        """Each of them. `texts`: the texts by their keyed hashes, as far as they are kept."""
        return [_entry(self.segment, one, texts or {}) for one in self._packed]

    def with_gold(self) -> list[Entry]:
        """Those that were sent with labels of their own."""
        import numpy as np

        return [_entry(self.segment, self._packed[place], {}) for place in np.flatnonzero(self._columns["gold"] >= 0)]


def _entry(segment: str, packed: bytes, texts: Mapping[bytes, bytes]) -> Entry:
    key, time_ms, neg, pos, is_masked, masked_neg, masked_pos, gold, words, author = ENTRY.unpack(packed)
    text = texts.get(key)
    return Entry(
        id=key.hex(),
        segment=segment,
        time_ms=time_ms,
        scores=_scores(neg, pos),
        masked=_scores(masked_neg, masked_pos) if is_masked else None,
        text_cluster=words,
        author_cluster=author,
        text=text.decode() if text is not None else None,
        gold=gold if gold >= 0 else None,
    )


def _scores(neg: float, pos: float) -> tuple[float, float, float]:
    return neg, max(0.0, 1.0 - neg - pos), pos
