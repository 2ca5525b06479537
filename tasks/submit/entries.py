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
    """Where a text stands."""

    GATHERED = "it waits to be claimed"
    CLAIMED = "it is being claimed, or this process's to send"
    UNDER_WAY = "this process has sent it, in a chunk that has a place"
    ELSEWHERE = "its answer may come, and it takes no place: another process has sent it, or its chunk has expired"
    DONE = "answered, failed or dropped: no caller can reach it any more"


# Read several times for each text; as globals they are found in half the time.
GATHERED, CLAIMED, UNDER_WAY, ELSEWHERE, DONE = State


class Chunk(Generic[T]):
    """Texts that left together; it has a place until all of them are answered."""

    __slots__ = ("entries", "sent_at")

    def __init__(self, entries: Iterable[Entry[T]], sent_at: float) -> None:
        self.entries = set(entries)
        self.sent_at = sent_at


class Entry(Generic[T]):
    """One text and all who wait for it."""

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
        """Its chunk while it is UNDER_WAY."""


class Entries(Generic[T]):
    """Not thread-safe: the coalescer holds its lock around each call."""

    def __init__(self, *, clock: Callable[[], float], chunk_took: Callable[[float], None]) -> None:
        """`chunk_took` is told how long each chunk had its place."""
        self._clock = clock
        self._chunk_took = chunk_took
        self._by_key: dict[str, Entry[T]] = {}
        self._gathered: dict[str, Entry[T]] = {}
        self._claimed: dict[str, Entry[T]] = {}
        self._chunks: dict[Chunk[T], None] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Entry[T]]:
        """In the order in which they came."""
        return iter(self._by_key.values())

    @property
    def gathered(self) -> Collection[Entry[T]]:
        """Those that wait to be claimed, in their order."""
        return self._gathered.values()

    @property
    def claimed(self) -> Collection[Entry[T]]:
        """Those that are claimed and not sent, in their order."""
        return self._claimed.values()

    @property
    def chunks(self) -> Collection[Chunk[T]]:
        """Those that have a place."""
        return self._chunks

    def get(self, key: str) -> Entry[T] | None:
        """The entry that waits under this key."""
        return self._by_key.get(key)

    def add(self, key: str, text: str) -> Entry[T]:
        """A new text, GATHERED; none may wait under its key."""
        entry: Entry[T] = Entry(key, text, self._clock())
        self._by_key[key] = self._gathered[key] = entry
        return entry

    def claim(self, limit: int) -> list[Entry[T]]:
        """The next that have gathered, in their order, at most so many: from now on CLAIMED."""
        entries = list(itertools.islice(self._gathered.values(), limit))
        for entry in entries:
            self._move(entry, CLAIMED)
        return entries

    def drop_left(self, limit: int) -> list[Entry[T]]:
        """Claimed texts whose callers have all left, as far as they come before the last text of the next chunk, which
        has at most so many: from now on DONE.
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
        """The next that are claimed, in their order, at most so many: UNDER_WAY from now on, as one chunk."""
        entries = list(itertools.islice(self._claimed.values(), limit))
        if entries:
            chunk = Chunk(entries, self._clock())
            self._chunks[chunk] = None
            for entry in entries:
                self._move(entry, UNDER_WAY)
                entry.chunk = chunk
        return entries

    def wait_elsewhere(self, entry: Entry[T]) -> None:
        """It takes no place any more: ELSEWHERE, or DONE if nobody waits for it."""
        self._move(entry, ELSEWHERE if entry.waiters else DONE)

    def end(self, entry: Entry[T]) -> None:
        """DONE: whoever calls this ends its future."""
        self._move(entry, DONE)

    def leave(self, entry: Entry[T]) -> None:
        """One of its callers no longer waits. Without callers it is DONE unless this process has promised others to
        send it.
        """
        entry.waiters -= 1
        if entry.waiters == 0 and (entry.state is GATHERED or entry.state is ELSEWHERE):
            self._move(entry, DONE)

    def expire(self, sent_before: float) -> None:
        """Takes their places from chunks that were sent before then, or just then."""
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
