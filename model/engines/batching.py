"""Micro-batches: texts are cut to what a model may read and grouped by length into a few input shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

CHARS_PER_TOKEN = 24
"""Characters kept for each token of a model's limit. English needs a fifth, so the limit in tokens is reached first."""

_LEAST_PART = 96
"""Groups of fewer tokens are not divided: the fixed cost of a call would be a third of the whole."""


def cut(text: str, max_tokens: int) -> tuple[str, bool]:
    """The beginning of a text, as far as a model with a limit of `max_tokens` may read, and whether anything was cut.

    Tokenising takes time in proportion to a text's length, so a text is cut first: after at most
    `max_tokens * CHARS_PER_TOKEN` characters, at the last blank in the second half of that window if there is one.
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
    """The positions of the texts in the caller's order."""
    batch: int
    """The number of rows of the model's input: `len(rows)` plus rows of padding."""
    length: int
    """The number of tokens in each row: that of the longest text plus padding."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The only input shapes that a compiled graph is run with: each new shape costs a kernel, in time and memory."""

    batches: tuple[int, ...]
    """The batch sizes, ascending from 1."""
    lengths: tuple[int, ...]
    """The lengths in tokens, ascending; the last is the model's limit."""
    max_cells: int
    """The most tokens (batch times length) of one call; a single row may have more."""
    call_cost: int
    """The fixed cost of a call, expressed in tokens: it weighs padding against an additional call."""
    own_lengths: bool = False
    """Whether a text is only padded to the next length, and never to that of a longer text."""

    def all(self) -> Iterator[tuple[int, int]]:
        """Every shape (batch, length) that `plan` may choose."""
        for length in self.lengths:
            for batch in self.batches:
                if batch == 1 or batch * length <= self.max_cells:
                    yield batch, length

    def plan(self, lengths: Sequence[int], parts: int = 1) -> list[Group]:
        """Divides texts into groups at the lowest total cost of padding and calls.

        The texts are sorted by length and cut into consecutive runs; dynamic programming finds the cheapest cut.

        Args:
            lengths: the number of tokens of each text.
            parts: about how many groups to make of what would otherwise be one large group, so that they can be scored
                in parallel.

        Raises:
            ValueError: a text is longer than the longest shape.
        """
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        steps = np.searchsorted(self.lengths, [lengths[row] for row in order])
        if len(order) and steps[-1] == len(self.lengths):
            raise ValueError(f"a text of {lengths[order[-1]]} tokens; the longest shape has {self.lengths[-1]}")
        # A third more than an equal share, so that padding does not lead to an additional group.
        most = max(_LEAST_PART, 4 * sum(lengths) // (3 * max(1, parts)))
        allowed: dict[int, list[int]] = {length: [] for length in self.lengths}
        for batch, length in self.all():
            if batch == 1 or batch * length <= most:
                allowed[length].append(batch)
        # best[i]: the lowest cost of scoring the i shortest texts, and the batch size of the last group among them.
        best: list[tuple[int, int]] = [(0, 0)]
        firsts = np.searchsorted(steps, steps).tolist() if self.own_lengths else [0] * len(order)
        for end, (step, first) in enumerate(zip(steps, firsts, strict=True), start=1):
            length = self.lengths[step]
            best.append(
                min(
                    (best[max(first, end - batch)][0] + self.call_cost + batch * length, batch)
                    for batch in allowed[length]
                )
            )
        groups = []
        end = len(order)
        while end:
            batch = best[end][1]
            start = max(firsts[end - 1], end - batch)
            groups.append(Group(tuple(order[start:end]), batch, self.lengths[steps[end - 1]]))
            end = start
        return groups[::-1]


def shapes(batch_size: int, max_tokens: int, *, own_lengths: bool = False) -> Shapes:
    """The input shapes of a compiled graph: batch sizes in powers of two, lengths in steps that are small for tweets.

    They were chosen by measurement on a stream of tweets in batches of 1 to 32: see docs/engines.md.
    """
    batches = tuple(2**n for n in range(batch_size.bit_length()) if 2**n < batch_size)
    steps = [16, 24, 32, 40, 48, 64, 128, 256, 512]
    lengths = tuple(step for step in steps if step < max_tokens)
    return Shapes((*batches, batch_size), (*lengths, max_tokens), max_cells=256, call_cost=25, own_lengths=own_lengths)


def sorted_groups(lengths: Sequence[int], batch_size: int, max_cells: int) -> list[Group]:
    """Groups of at most `batch_size` texts of similar length, without padded rows, the longest texts first.

    A group has at most `max_cells` tokens including padding; a longer text has its own group.
    The longest texts come first so that memory is allocated once, and a batch that does not fit is noticed at once.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    groups: list[Group] = []
    start = 0
    while start < len(order):
        length = lengths[order[start]]
        size = min(batch_size, max(1, max_cells // max(1, length)))
        rows = tuple(order[start : start + size])
        groups.append(Group(rows, len(rows), length))
        start += size
    return groups
