"""Texts into micro-batches: cut to a window, grouped by length into few shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

CHARS_PER_TOKEN = 24
"""Characters kept for each token of a model's limit, five times what English needs: enough that the limit is reached in
tokens.
"""

_LEAST_PART = 96
"""Tokens below which it does not pay to divide a group: a call's own cost would be a third of it."""


def cut(text: str, max_tokens: int) -> tuple[str, bool]:
    """The start of a text that a model of `max_tokens` may read, and whether anything was left out.

    Tokenising costs time in proportion to a text's length, so a text is cut before it is tokenised: after at most
    `max_tokens * CHARS_PER_TOKEN` characters, at the last blank in the second half of that window, if there is one.
    """
    window = max_tokens * CHARS_PER_TOKEN
    if len(text) <= window:
        return text, False
    blank = text.rfind(" ", window // 2, window + 1)
    return text[: blank if blank > 0 else window], True


@dataclass(frozen=True, slots=True)
class Group:
    """Texts that are scored in one call of the model."""

    rows: tuple[int, ...]
    """Positions of the texts in the caller's order."""
    batch: int
    """Rows of the model's input: `len(rows)`, or more where the rest is padding."""
    length: int
    """Tokens of a row: the longest of the texts, or more where the rest is padding."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The only input shapes that a compiled graph meets: each new one costs it a kernel, time and memory."""

    batches: tuple[int, ...]
    """Ascending, the first is 1."""
    lengths: tuple[int, ...]
    """Ascending, in tokens; the last is the model's limit."""
    max_cells: int
    """Most tokens (batch times length) of one call; a single row may have more."""
    call_cost: int
    """What a call costs apart from its tokens, in tokens: weighs padding against one call more."""

    def all(self) -> Iterator[tuple[int, int]]:
        """Every (batch, length) that `plan` may choose."""
        for length in self.lengths:
            for batch in self.batches:
                if batch == 1 or batch * length <= self.max_cells:
                    yield batch, length

    def plan(self, lengths: Sequence[int], parts: int = 1) -> list[Group]:
        """Groups that hold each text once, at the lowest cost in padding and calls; `lengths` are in tokens.

        Texts are sorted by length, and a group is a run of them; the cheapest cut into runs is found by dynamic
        programming. With `parts`, texts that would be one large group are about so many smaller ones, which can be
        scored at once.

        Raises:
            ValueError: a text is longer than the longest shape.
        """
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        steps = np.searchsorted(self.lengths, [lengths[row] for row in order])
        if len(order) and steps[-1] == len(self.lengths):
            raise ValueError(f"a text of {lengths[order[-1]]} tokens; the longest shape has {self.lengths[-1]}")
        # A third more than an equal share, so that padding does not make one group more of it.
        most = max(_LEAST_PART, 4 * sum(lengths) // (3 * max(1, parts)))
        allowed: dict[int, list[int]] = {length: [] for length in self.lengths}
        for batch, length in self.all():
            if batch == 1 or batch * length <= most:
                allowed[length].append(batch)
        # best[i]: the lowest cost of the i shortest texts, and the batch of the last run among them
        best: list[tuple[int, int]] = [(0, 0)]
        for end, step in enumerate(steps, start=1):
            length = self.lengths[step]
            best.append(
                min(
                    (best[max(0, end - batch)][0] + self.call_cost + batch * length, batch) for batch in allowed[length]
                )
            )
        groups = []
        end = len(order)
        while end:
            batch = best[end][1]
            start = max(0, end - batch)
            groups.append(Group(tuple(order[start:end]), batch, self.lengths[steps[end - 1]]))
            end = start
        return groups[::-1]


def shapes(batch_size: int, max_tokens: int) -> Shapes:
    """The shapes of a compiled graph: batches in powers of two up to `batch_size`, lengths in steps that are fine where
    tweets are.

    Chosen on a stream of tweets in batches of 1 to 32: see docs/engines.md.
    """
    batches = tuple(2**n for n in range(batch_size.bit_length()) if 2**n < batch_size)
    steps = [16, 24, 32, 40, 48, 64, 128, 256, 512]
    lengths = tuple(step for step in steps if step < max_tokens)
    return Shapes((*batches, batch_size), (*lengths, max_tokens), max_cells=256, call_cost=25)


def sorted_groups(lengths: Sequence[int], batch_size: int, max_cells: int | None = None) -> list[Group]:
    """Groups of at most `batch_size` texts of similar length without padded rows, the longest first.

    With `max_cells`, also of at most so many tokens, padding included; a text that is longer has a group of its own.
    The longest come first so that a batch that does not fit into memory is met at once, and memory is claimed only
    once.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    groups: list[Group] = []
    start = 0
    while start < len(order):
        length = lengths[order[start]]
        size = batch_size if max_cells is None else min(batch_size, max(1, max_cells // max(1, length)))
        rows = tuple(order[start : start + size])
        groups.append(Group(rows, len(rows), length))
        start += size
    return groups
