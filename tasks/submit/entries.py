"""The texts that wait in a web process, each in one state, and the chunks that are under way.

    GATHERED     ─ claim ─> CLAIMED
    CLAIMED      ─ send ─> UNDER_WAY    ─ under way by another process's doing ─> ELSEWHERE
    UNDER_WAY    ─ its chunk expires ─> ELSEWHERE
    all of them  ─ answered, failed, or nobody waits any more ─> DONE

Every change of state goes through `Entries._move`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from tasks.submit.turns import Share, Turns

T = TypeVar("T")


class State(Enum):
    """The states of a waiting text; each value says what the state means."""

    GATHERED = "waits to be claimed"
    CLAIMED = "is being claimed, or is claimed and waits to be sent"
    UNDER_WAY = "sent by this process, in a chunk that counts as under way"
    ELSEWHERE = (
        "may still be answered, but not by a chunk under way here: another process sent it, or its chunk expired"
    )
    DONE = "answered, failed or dropped: no caller can reach it any more"


_ALIKE = 2
"""A text may cost so many times as much as another to be sent with it in an extra chunk."""

# They are read several times for each text, and looking up a global takes half the time of an enum's attribute.
GATHERED, CLAIMED, UNDER_WAY, ELSEWHERE, DONE = State


class Chunk(Generic[T]):
    """Texts that were sent together. The chunk counts as under way until all of them are answered."""

    __slots__ = ("entries", "extra", "sent_at")

    def __init__(self, sent_at: float, *, extra: bool) -> None:
        self.entries: set[Entry[T]] = set()
        self.extra = extra
        """Whether it takes no place: it has only texts of callers that had none under way."""
        self.sent_at = sent_at


class Entry(Generic[T]):
    """One text and the callers that wait for it."""

    __slots__ = ("chunk", "cost", "future", "key", "origins", "share", "since", "state", "text", "waiters")

    def __init__(self, key: str, text: str, cost: int, since: float, share: Share[Entry[T]]) -> None:
        self.key = key
        self.text = text
        self.cost = cost
        self.since = since
        self.share = share
        """The share of the caller in whose turn the text will leave."""
        self.future: Future[T] = Future()
        self.waiters = 0
        self.origins: list[object] = []
        self.state = GATHERED
        self.chunk: Chunk[T] | None = None
        """The chunk that the text was sent in; None unless it is UNDER_WAY."""


class Ahead(NamedTuple):
    """What goes before another text of a caller."""

    texts: int
    cost: int
    waiting: int
    """The texts of all callers that wait, also those that the caller's text would go before."""


class Entries(Generic[T]):
    """All texts that wait, by key and by state. Not thread-safe: the coalescer holds its lock around each call."""

    def __init__(self, *, clock: Callable[[], float], chunk_took: Callable[[float], None]) -> None:
        """`chunk_took`: called with the seconds that each chunk was under way."""
        self._clock = clock
        self._chunk_took = chunk_took
        self._by_key: dict[str, Entry[T]] = {}
        self._gathered: dict[str, Entry[T]] = {}
        self._shares: dict[str, Share[Entry[T]]] = {}
        self._turns: Turns[Entry[T]] = Turns()
        self._cost = 0
        self._chunks: dict[Chunk[T], None] = {}
        self._extra = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Entry[T]]:
        """All entries, in the order in which they came."""
        return iter(self._by_key.values())

    @property
    def gathered(self) -> Collection[Entry[T]]:
        """The entries that wait to be claimed, in the order in which they came."""
        return self._gathered.values()

    @property
    def claimed(self) -> Turns[Entry[T]]:
        """The entries that are claimed and not sent yet."""
        return self._turns

    @property
    def chunks(self) -> Collection[Chunk[T]]:
        """The chunks that are under way."""
        return self._chunks

    @property
    def places_taken(self) -> int:
        """The number of chunks under way that take a place."""
        return len(self._chunks) - self._extra

    @property
    def may_send_extra(self) -> bool:
        """Whether a chunk may be sent that takes no place: none is under way, and a caller has texts only to send."""
        return not self._extra and self._turns.has_newcomers()

    def get(self, key: str) -> Entry[T] | None:
        """The waiting entry with this key, if there is one."""
        return self._by_key.get(key)

    def ahead(self, caller: str, cost: int) -> Ahead:
        """What goes before another text of a caller that costs so much, since callers take turns."""
        share = self._shares.get(caller)
        callers = len(self._shares) + (share is None)
        if callers == 1:
            return Ahead(len(self._by_key), self._cost, len(self._by_key))
        texts, spent = (share.texts, share.cost) if share is not None else (0, 0)
        return Ahead(
            min(len(self._by_key), callers * (texts + 1) - 1),
            min(self._cost, callers * (spent + cost) - cost),
            len(self._by_key),
        )

    def add(self, key: str, text: str, cost: int, caller: str) -> Entry[T]:
        """Adds a caller's text, as GATHERED; no entry may have its key yet."""
        entry: Entry[T] = Entry(key, text, cost, self._clock(), self._share(caller))
        self._by_key[key] = self._gathered[key] = entry
        self._count(entry, 1)
        return entry

    def join(self, entry: Entry[T], caller: str) -> None:
        """Notes that a caller waits for an entry; before it is sent, it is in the turn of whoever of all has less."""
        entry.waiters += 1
        if entry.share.caller == caller or not (entry.state is GATHERED or entry.state is CLAIMED):
            return
        share = self._shares.get(caller)
        if share is not None and share.cost >= entry.share.cost:
            return
        entry.share.claimed.pop(entry.key, None)
        self._count(entry, -1)
        entry.share = self._share(caller)
        self._count(entry, 1)
        if entry.state is CLAIMED:
            self._turns.add(entry.share, entry)

    def _share(self, caller: str) -> Share[Entry[T]]:
        if (share := self._shares.get(caller)) is None:
            share = self._shares[caller] = Share(caller)
        return share

    def _count(self, entry: Entry[T], texts: int) -> None:
        share, cost = entry.share, texts * entry.cost
        self._cost += cost
        share.cost += cost
        share.texts += texts
        if not share.texts:
            del self._shares[share.caller]

    def claim(self, limit: int) -> list[Entry[T]]:
        """Moves at most `limit` gathered entries to CLAIMED, in their order, and returns them."""
        entries = list(itertools.islice(self._gathered.values(), limit))
        for entry in entries:
            self._move(entry, CLAIMED)
        return entries

    def send(self, limit: int, *, extra: bool) -> tuple[list[Entry[T]], list[Entry[T]]]:
        """Moves claimed entries to UNDER_WAY as one chunk, in turns, and those whose callers have left to DONE.

        Args:
            limit: the most that the chunk may cost, unless its first text alone costs more.
            extra: the chunk takes no place, and has only one entry of each caller that has none under way.

        Returns:
            The chunk's entries, and the left ones.
        """
        sent: list[Entry[T]] = []
        left: list[Entry[T]] = []
        chunk: Chunk[T] = Chunk(self._clock(), extra=extra)
        for entry in self._newcomers() if extra else self._in_turn():
            if not entry.waiters:
                left.append(entry)
                self._move(entry, DONE)
                continue
            limit -= entry.cost
            if limit < 0 and sent:
                break
            self._turns.took(entry.share, entry.cost, in_turn=not extra)
            self._move(entry, UNDER_WAY)
            entry.chunk = chunk
            entry.share.under_way += 1
            chunk.entries.add(entry)
            sent.append(entry)
        if sent:
            self._chunks[chunk] = None
            self._extra += extra
        return sent, left

    def _in_turn(self) -> Iterator[Entry[T]]:
        while (entry := self._turns.first()) is not None:
            yield entry

    def _newcomers(self) -> Iterator[Entry[T]]:
        """One text of each caller that has none under way; longer ones than the first have to wait for it.

        A chunk is answered as a whole, and a short text must not wait for a long one.
        """
        most = math.inf
        for share in self._turns.newcomers():
            while share.claimed and not share.under_way:
                entry = next(iter(share.claimed.values()))
                if entry.cost > most and entry.waiters:
                    break
                yield entry
                if entry.state is UNDER_WAY:
                    most = _ALIKE * entry.cost

    def wait_elsewhere(self, entry: Entry[T]) -> None:
        """Moves an entry to ELSEWHERE, or to DONE if nobody waits for it: it no longer belongs to a chunk under way."""
        self._move(entry, ELSEWHERE if entry.waiters else DONE)

    def end(self, entry: Entry[T]) -> None:
        """Moves an entry to DONE. It is up to the caller to set its future."""
        self._move(entry, DONE)

    def leave(self, entry: Entry[T]) -> None:
        """Notes that one of an entry's callers no longer waits.

        Without callers the entry becomes DONE, unless other processes rely on this one to send the text.
        """
        entry.waiters -= 1
        if entry.waiters == 0 and (entry.state is GATHERED or entry.state is ELSEWHERE):
            self._move(entry, DONE)

    def expire(self, sent_before: float) -> None:
        """Lets the chunks that were sent at `sent_before` or earlier no longer count as under way."""
        for chunk in [chunk for chunk in self._chunks if chunk.sent_at <= sent_before]:
            for entry in list(chunk.entries):
                self.wait_elsewhere(entry)

    def _move(self, entry: Entry[T], state: State) -> None:
        key, before = entry.key, entry.state
        if before is GATHERED:
            del self._gathered[key]
        elif before is CLAIMED:
            entry.share.claimed.pop(key)
        elif (chunk := entry.chunk) is not None:
            entry.chunk = None
            entry.share.under_way -= 1
            chunk.entries.discard(entry)
            if not chunk.entries:
                del self._chunks[chunk]
                self._extra -= chunk.extra
                self._chunk_took(self._clock() - chunk.sent_at)
        entry.state = state
        if state is CLAIMED:
            self._turns.add(entry.share, entry)
        elif state is DONE:
            del self._by_key[key]
            self._count(entry, -1)
