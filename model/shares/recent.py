"""Which texts came lately: equal ones count once in the shifts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PLACES = 1024
"""Places for digests; a text is forgotten when another takes its place, on average after so many different ones."""


class Recent:
    """Digests of the texts that came lately, in 4 KB."""

    def __init__(self, marks: NDArray[np.uint32] | None = None) -> None:
        """Goes on with the marks of another one, shape (PLACES,); with none, no text came yet."""
        self.marks = np.zeros(PLACES, np.uint32) if marks is None else marks

    def new(self, keys: NDArray[np.integer]) -> NDArray[np.intp]:
        """The places of those texts, by their 64-bit digests, that did not come lately; remembers them."""
        digests = np.asarray(keys).astype(np.uint64)
        places = (digests % np.uint64(PLACES)).tolist()
        # 0 is an empty place.
        marks = np.maximum(digests >> np.uint64(32), np.uint64(1)).tolist()
        known = self.marks.tolist()
        found = []
        for text, (place, mark) in enumerate(zip(places, marks, strict=True)):
            if known[place] != mark:
                known[place] = mark
                found.append(text)
        self.marks = np.array(known, np.uint32)
        return np.array(found, np.intp)
