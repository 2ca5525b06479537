"""The scan behind the shifts of a stream: the newest texts against all before them, over windows of many lengths."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from model.shares.sums import Floats

BLOCK = 20
"""Texts in the smallest block: after so many the scan is made again."""
SAME_SIZE = 8
"""Blocks of one size; of more, the two oldest become one of double size (Datar, Gionis, Indyk and Motwani 2002)."""
SIZES = 6
"""Sizes of blocks, from BLOCK on, each double the one before."""
WIDEST = SAME_SIZE * BLOCK * (2**SIZES - 1)
"""Texts in the longest window, 10,080; all that is older is in one block."""
NARROWEST = 80
"""Texts in the shortest window: in a shorter one few rare texts look like a shift."""
BEFORE = 200
"""Texts before the window that are needed to tell what it differs from."""


@dataclass(slots=True)
class Block:
    """Texts that came one after another. In a simulation `total` and `squares` are arrays, one item for each run."""

    size: int
    total: float | Floats
    squares: float | Floats
    start: float
    """The time of its first text."""

    def __add__(self, later: Block) -> Block:
        return Block(self.size + later.size, self.total + later.total, self.squares + later.squares, self.start)


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows that end with the newest text, from the longest to the shortest; arrays, one item for each."""

    size: Floats
    """Texts in the window."""
    before: Floats
    """The mean of the texts before the window."""
    after: Floats
    """The mean of the texts in the window."""
    error: Floats
    """The standard error of after - before."""
    score: Floats
    """((after - before) / error)^2 - 2 log(WIDEST / size): to be compared with the square of a threshold.

    There are more short windows than long ones in a stream, and more chances for them to differ by luck: the second
    term makes up for it (Dümbgen and Spokoiny 2001). One threshold for all finds small shifts later.
    """


@dataclass(slots=True)
class Blocks:
    """The texts since the last shift, as blocks, the oldest first; `old` holds what no window reaches any more."""

    blocks: list[Block] = field(default_factory=list)
    old: Block | None = None

    def append(self, block: Block) -> None:
        """Adds the newest BLOCK texts."""
        self.blocks.append(block)
        size = BLOCK
        while True:
            places = [place for place, one in enumerate(self.blocks) if one.size == size]
            if len(places) <= SAME_SIZE:
                return
            first = places[0]
            if size == BLOCK * 2 ** (SIZES - 1):
                out = self.blocks.pop(first)
                self.old = self.old + out if self.old else out
                return
            self.blocks[first : first + 2] = [self.blocks[first] + self.blocks[first + 1]]
            size *= 2

    def windows(self, least: int = NARROWEST) -> Windows | None:
        """The windows that have texts enough, `least` in them and BEFORE before them; None if there is none.

        The standard error is s sqrt(1/w + 1/r), with w texts in the window and r before. s is the standard deviation
        before it; where it is larger in the window, the mean of the two. For rare texts this is what taking square
        roots of counts does: twenty where five are usual are less of a surprise than the five's deviation says.
        """
        older = [] if self.old is None else [self.old]
        everything = [*older, *self.blocks]
        size = np.cumsum([one.size for one in reversed(everything)])
        most = float(size[-1]) - BEFORE if len(size) else 0.0
        chosen = np.flatnonzero((size >= least) & (size <= most))[::-1]
        if not len(chosen):
            return None
        total = np.cumsum([one.total for one in reversed(everything)], axis=0)
        squares = np.cumsum([one.squares for one in reversed(everything)], axis=0)
        shape = (-1,) + (1,) * (total.ndim - 1)
        inside = size[chosen].reshape(shape).astype(np.float64)
        outside = size[-1] - inside
        after = total[chosen] / inside
        before = (total[-1] - total[chosen]) / outside
        now = np.sqrt(np.maximum(squares[chosen] / inside - after**2, 0.0))
        usual = np.sqrt(np.maximum((squares[-1] - squares[chosen]) / outside - before**2, 0.0))
        deviation = np.maximum(np.maximum(usual, (usual + now) / 2), 1e-3)
        error = deviation * np.sqrt(1 / inside + 1 / outside)
        score = ((after - before) / error) ** 2 - 2 * np.log(WIDEST / inside)
        return Windows(inside, before, after, error, score)

    def texts(self) -> int:
        """The number of texts since the last shift."""
        return sum(one.size for one in self.blocks) + (self.old.size if self.old else 0)

    def starts(self) -> list[float]:
        """The times at which the blocks start, the oldest first."""
        older = [] if self.old is None else [self.old.start]
        return [*older, *(one.start for one in self.blocks)]

    def place(self, size: float) -> int:
        """The place in `starts` of the block with which the window of so many texts starts."""
        places = len(self.starts())
        for place, one in enumerate(reversed(self.blocks), 1):
            size -= one.size
            if size <= 0:
                return places - place
        return 0

    def cut(self, size: float) -> None:
        """Forgets all but the newest blocks with so many texts together: the new level."""
        kept, texts = 0, 0
        while kept < len(self.blocks) and texts < size:
            kept += 1
            texts += self.blocks[-kept].size
        self.blocks = self.blocks[len(self.blocks) - kept :]
        self.old = None
