"""The texts that wait in a web process, each in one state, and the chunks that are under way.

    GATHERED     ─ claim ─> CLAIMED
    CLAIMED      ─ send ─> UNDER_WAY    ─ under way by another process's doing ─> ELSEWHERE
    UNDER_WAY    ─ its chunk expires ─> ELSEWHERE
    all of them  ─ answered, failed, or nobody waits any more ─> DONE

Every change of state goes through `Entries._move`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from enum import Enum
from typing import Generic, TypeVar

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


# They are read several times for each text, and looking up a global takes half the time of an enum's attribute.
GATHERED, CLAIMED, UNDER_WAY, ELSEWHERE, DONE = State


class Chunk(Generic[T]):
    """Texts that were sent together. The chunk counts as under way until all of them are answered."""

    __slots__ = ("entries", "sent_at")

    def __init__(self, entries: Iterable[Entry[T]], sent_at: float) -> None:
        self.entries = set(entries)
        self.sent_at = sent_at


class Entry(Generic[T]):
    """One text and the callers that wait for it."""

    __slots__ = ("chunk", "future", "key", "origins", "since", "state", "text", "waiters")

    def __init__(self, key: str, text: str, since: float) -> None:
        self.key = key
        self.text = text
        self.since = since
        self.future: Future[T] = Future()
        self.waiters = 0
        self.origins: list[object] = []
        self.state = GATHERED
        self.chunk: Chunk[T] | None = None
        """The chunk that the text was sent in; None unless it is UNDER_WAY."""


class Entries(Generic[T]):
    """All texts that wait, by key and by state. Not thread-safe: the coalescer holds its lock around each call."""

    def __init__(self, *, clock: Callable[[], float], chunk_took: Callable[[float], None]) -> None:
        """`chunk_took`: called with the seconds that each chunk was under way."""
        self._clock = clock
        self._chunk_took = chunk_took
        self._by_key: dict[str, Entry[T]] = {}
        self._gathered: dict[str, Entry[T]] = {}
        self._claimed: dict[str, Entry[T]] = {}
        self._chunks: dict[Chunk[T], None] = {}

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
    def claimed(self) -> Collection[Entry[T]]:
        """The entries that are claimed and not sent yet, in the order in which they were claimed."""
        return self._claimed.values()

    @property
    def chunks(self) -> Collection[Chunk[T]]:
        """The chunks that are under way."""
        return self._chunks

    def get(self, key: str) -> Entry[T] | None:
        """The waiting entry with this key, if there is one."""
        return self._by_key.get(key)

    def add(self, key: str, text: str) -> Entry[T]:
        """Adds a text, as GATHERED; no entry may have its key yet."""
        entry: Entry[T] = Entry(key, text, self._clock())
        self._by_key[key] = self._gathered[key] = entry
        return entry

    def claim(self, limit: int) -> list[Entry[T]]:
        """Moves at most `limit` gathered entries to CLAIMED, in their order, and returns them."""
        entries = list(itertools.islice(self._gathered.values(), limit))
        for entry in entries:
            self._move(entry, CLAIMED)
        return entries

    def drop_left(self, limit: int) -> list[Entry[T]]:
        """Moves claimed entries without callers to DONE and returns them.

        It looks only as far as the last text of the next chunk, which has at most `limit` texts.
        """
        wanted = 0
        left: list[Entry[T]] = []
        for entry in self._claimed.values():
            if entry.waiters:
                wanted += 1
                if wanted == limit:
                    break
            else:
                left.append(entry)
        for entry in left:
            self._move(entry, DONE)
        return left

    def send(self, limit: int) -> list[Entry[T]]:
        """Moves at most `limit` claimed entries to UNDER_WAY, in their order and as one chunk, and returns them."""
        entries = list(itertools.islice(self._claimed.values(), limit))
        if entries:
            chunk = Chunk(entries, self._clock())
            self._chunks[chunk] = None
            for entry in entries:
                self._move(entry, UNDER_WAY)
                entry.chunk = chunk
        return entries

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
            del self._claimed[key]
        elif (chunk := entry.chunk) is not None:
            entry.chunk = None
            chunk.entries.discard(entry)
            if not chunk.entries:
                del self._chunks[chunk]
                self._chunk_took(self._clock() - chunk.sent_at)
        entry.state = state
        if state is CLAIMED:
            self._claimed[key] = entry
        elif state is DONE:
            del self._by_key[key]
