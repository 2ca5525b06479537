"""Shifts of a stream's mood while its texts arrive."""

from __future__ import annotations

import struct
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.shares.recent import PLACES, Recent
from model.shares.scan import BLOCK, Block, Blocks, Windows
from model.shares.shift import Shift
from model.shares.sums import Floats, Numbers
from model.shares.thresholds import PER_TEXT, SIZE_ERRORS, WHEN_DROP, threshold

_VERSION = 1
_HEADER = struct.Struct("<BBHH")
"""The version, whether there is an oldest block, how many blocks follow, how many digests follow them."""
_BLOCK = np.dtype([("size", "<i8"), ("total", "<f8"), ("squares", "<f8"), ("start", "<f8")])


def per_text(per_day: float, texts_a_day: float) -> float:
    """The false-alarm rate for each text of a stream that shall have `per_day` false alarms a day."""
    return per_day / max(texts_a_day, 1.0)


def checked(values: Numbers, times: Numbers, keys: NDArray[np.integer] | None) -> tuple[Floats, Floats]:
    """The values and times as doubles. Raises ValueError if one is not finite, or if the shapes differ."""
    found, when = np.asarray(values, np.float64), np.asarray(times, np.float64)
    if found.ndim != 1 or found.shape != when.shape or (keys is not None and len(keys) != len(found)):
        raise ValueError("each text needs its value, its time and its digest")
    if not (np.isfinite(found).all() and np.isfinite(when).all()):
        raise ValueError("a value or a time is not a number")
    return found, when


class Detector:
    """Watches one segment's net probabilities, p_pos - p_neg. Its state is a few KB, see `to_bytes`.

    After each BLOCK texts, all windows that end there are held against all texts before them since the last shift
    (`model.shares.scan`). There is a shift if the best window's score is above the threshold; it starts anew with that
    window, or with a shorter one that fits better. Equal texts count once: a text whose digest is among the last ones
    adds nothing.
    """

    def __init__(self, false_alarms: float = PER_TEXT) -> None:
        """Watches from the first text on.

        Args:
            false_alarms: expected false alarms for each text, as long as nothing changes; see `per_text`.
        """
        self._least = threshold(false_alarms) ** 2
        self._blocks = Blocks()
        self._open = Block(0, 0.0, 0.0, 0.0)
        self._recent: Recent | None = None

    @classmethod
    def from_bytes(cls, raw: bytes, false_alarms: float = PER_TEXT) -> Self:
        """A detector that goes on where `to_bytes` was taken. Raises ValueError if these are not its bytes."""
        wrong = "these bytes are not a detector's state"
        if len(raw) < _HEADER.size:
            raise ValueError(wrong)
        version, old, number, keys = _HEADER.unpack_from(raw)
        end = _HEADER.size + number * _BLOCK.itemsize
        if version != _VERSION or number <= old or keys not in (0, PLACES) or len(raw) != end + 4 * keys:
            raise ValueError(wrong)
        found = cls(false_alarms)
        found._open, *blocks = [Block(*one) for one in np.frombuffer(raw, _BLOCK, number, _HEADER.size).tolist()]
        found._blocks = Blocks(blocks[old:], blocks[0] if old else None)
        found._recent = Recent(np.frombuffer(raw, "<u4", keys, end).astype(np.uint32)) if keys else None
        return found

    def to_bytes(self) -> bytes:
        """The state: less than 2 KB, and 4 KB more once texts came with digests."""
        old = [self._blocks.old] if self._blocks.old else []
        blocks = [self._open, *old, *self._blocks.blocks]
        stored = np.array([(one.size, one.total, one.squares, one.start) for one in blocks], _BLOCK)
        keys = b"" if self._recent is None else self._recent.marks.astype("<u4").tobytes()
        return _HEADER.pack(_VERSION, len(old), len(blocks), len(keys) // 4) + stored.tobytes() + keys

    def add(
        self,
        values: Numbers,
        times: Numbers,
        keys: NDArray[np.integer] | None = None,
    ) -> list[Shift]:
        """Takes texts in the order in which they came and returns the shifts found with them, usually none.

        Args:
            values: p_pos - p_neg of each text, shape (n,).
            times: when each was written, epoch seconds, shape (n,).
            keys: a 64-bit digest of each text's words, shape (n,), signed or not. A text whose digest came lately is
                not counted again, so that one text's many copies are no shift. None: all are counted.

        The result does not depend on how the texts are cut into calls, except for rounding.

        Raises:
            ValueError: a value or a time is not finite, or the shapes differ.
        """
        values, times = checked(values, times, keys)
        if keys is not None:
            self._recent = self._recent or Recent()
            new = self._recent.new(keys)
            values, times = values[new], times[new]
        found = []
        start = 0
        while start < len(values):
            end = min(start + BLOCK - self._open.size, len(values))
            part = values[start:end]
            more = Block(len(part), float(part.sum()), float(part @ part), float(times[start]))
            self._open = self._open + more if self._open.size else more
            if self._open.size == BLOCK:
                self._blocks.append(self._open)
                self._open = Block(0, 0.0, 0.0, 0.0)
                shift = self._looked(float(times[end - 1]))
                found += [shift] if shift else []
            start = end
        return found

    def _looked(self, now: float) -> Shift | None:
        """The shift that the newest texts show, if they do."""
        windows = self._blocks.windows()
        if windows is None:
            return None
        if windows.score.max() <= self._least:
            return None
        # That there is a shift is for windows of NARROWEST texts and more to say. Where it is, shorter ones tell too: a
        # large one is found while most of the narrowest window is still from before it.
        windows = self._blocks.windows(BLOCK) or windows
        best = int(windows.score.argmax())
        shift = self._shift(windows, best, now)
        self._blocks.cut(float(windows.size[best]))
        return shift

    def _shift(self, windows: Windows, best: int, now: float) -> Shift:
        """What is told of the shift at the start of the best window."""
        starts = self._blocks.starts()
        # Windows are those of all blocks but the oldest ones, before which there is too little.
        first = self._blocks.place(float(windows.size[0]))
        squares = ((windows.after - windows.before) / windows.error) ** 2
        likely = np.flatnonzero(squares >= squares[best] - WHEN_DROP)
        latest = first + int(likely[-1]) + 1
        half = SIZE_ERRORS * float(windows.error[best])
        size = float(windows.after[best] - windows.before[best])
        texts = float(windows.size[best])
        return Shift(
            when=starts[first + best],
            earliest=starts[max(first + int(likely[0]) - 1, 0)],
            latest=starts[latest] if latest < len(starts) else now,
            before=float(windows.before[best]),
            after=float(windows.after[best]),
            size=size,
            low=size - half,
            high=size + half,
            texts_before=self._blocks.texts() - round(texts),
            texts_after=round(texts),
            found=now,
        )
