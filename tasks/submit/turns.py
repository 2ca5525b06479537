"""The order in which claimed texts leave: callers take turns by cost, so that few texts do not wait behind many."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from heapq import heappop, heappush, heapreplace
from typing import Generic, Protocol, TypeVar


class Costing(Protocol):
    """A text that has a key and a cost."""

    key: str
    cost: int


E = TypeVar("E", bound=Costing)


class Share(Generic[E]):
    """The texts of one caller that wait: how many, what they cost, and those that are claimed."""

    __slots__ = ("caller", "claimed", "cost", "in_turn", "texts", "turn", "under_way")

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.texts = 0
        self.cost = 0
        self.claimed: dict[str, E] = {}
        """By key, in the order in which they were claimed."""
        self.under_way = 0
        """How many of them are in chunks that are under way."""
        self.turn = 0
        """The cost at which the caller's next turn begins."""
        self.in_turn = False
        """Whether the share has a place in `Turns`."""


class Turns(Generic[E]):
    """Chooses the next text: the oldest of the caller that has had least (start-time fair queueing).

    A caller that comes anew begins where the others are. Not thread-safe: the coalescer holds its lock.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Share[E]]] = []
        self._clock = 0
        """The cost at which the latest turn began."""
        self._numbers = itertools.count()

    def add(self, share: Share[E], entry: E) -> None:
        """Adds a claimed text; `share.claimed` is the only place from which it has to be removed."""
        share.claimed[entry.key] = entry
        if not share.in_turn:
            share.in_turn = True
            share.turn = max(share.turn, self._clock)
            heappush(self._heap, (share.turn, next(self._numbers), share))

    def first(self) -> E | None:
        """The text whose turn it is, if there is one."""
        while self._heap:
            turn, number, share = self._heap[0]
            if not share.claimed:
                heappop(self._heap)
                share.in_turn = False
            elif turn < share.turn:
                heapreplace(self._heap, (share.turn, number, share))
            else:
                return next(iter(share.claimed.values()))
        return None

    def took(self, share: Share[E], cost: int, *, in_turn: bool) -> None:
        """Notes that a caller's text is sent. `in_turn`: it is the one that `first` returns."""
        if in_turn:
            self._clock = share.turn
        share.turn += cost

    def newcomers(self) -> list[Share[E]]:
        """The callers that have texts to send and none under way, those whose next text costs least first."""
        return sorted(
            (share for _, _, share in self._heap if share.claimed and not share.under_way),
            key=lambda share: (next(iter(share.claimed.values())).cost, share.turn),
        )

    def has_newcomers(self) -> bool:
        """Whether there are `newcomers`."""
        return any(share.claimed and not share.under_way for _, _, share in self._heap)

    def __iter__(self) -> Iterator[E]:
        """All claimed texts, one caller's after the other's."""
        return itertools.chain.from_iterable(share.claimed.values() for _, _, share in self._heap)

    def __len__(self) -> int:
        return sum(len(share.claimed) for _, _, share in self._heap)

    def __bool__(self) -> bool:
        return self.first() is not None
