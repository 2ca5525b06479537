"""A stateful test of the coalescer, without its thread and with a clock that the test sets.

While it claims, sends or gives up, callers come, leave and are answered. In any order of these events, no caller is
lost, and nothing is left at the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tasks.errors import QueueFull
from tasks.submit.coalescer import Claimed, Coalescer
from tasks.submit.entries import State
from tasks.submit.lingering import LINGER_MOST_S
from tasks.submit.queue_limit import QueueLimit

KEYS = "abcdef"
NAMES = ("ann", "bob", "cid")
"""Of those who send the texts."""
FOUND = ("known", "to send", "to send", "elsewhere")
EXPIRE_S, QUEUE_LIMIT, CHUNK_LIMIT, UNDER_WAY = 10.0, 5, 2, 2


class ClaimFailed(Exception):
    """The cache is away."""


class SendFailed(Exception):
    """The broker is away."""


@dataclass(eq=False)
class Caller:
    """A caller of one text."""

    key: str
    future: Future[str]
    waits: bool = True


class Coalescing(RuleBasedStateMachine):
    """Callers, and a coalescer whose clock and steps the test controls."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.callers: list[Caller] = []
        self.answers = 0
        self.owed: set[str] = set()
        """Texts that this process has claimed, but neither sent nor given up nor seen answered."""
        self.relied_on: set[str] = set()
        """Texts that it has given up, but has to send for other processes."""
        self.failed: list[Future[str]] = []
        """The futures of all callers whose claim or sending failed in this step."""
        self.chance: random.Random | None = None
        """Decides what happens in a step; if it is None, nothing fails, and nothing else happens meanwhile."""
        self.coalescer: Coalescer[str] = Coalescer(
            self.claim,
            self.send,
            self.release,
            queue_limit=QueueLimit(max_texts=QUEUE_LIMIT, clock=self.clock),
            chunk_limit=lambda _: CHUNK_LIMIT,
            max_under_way=lambda: UNDER_WAY,
            expire_after_s=EXPIRE_S,
            clock=self.clock,
            start=lambda run: None,
        )

    def clock(self) -> float:
        """The time, which the test sets."""
        return self.now

    # What callers and replies do

    @rule(key=st.sampled_from(KEYS), name=st.sampled_from(NAMES))
    def submit(self, key: str, name: str = NAMES[0]) -> None:
        """A caller comes, and is refused only if there is no room in their share."""
        waiting = {entry.key: entry.share.caller for entry in self.coalescer._entries}
        theirs = list(waiting.values()).count(name)
        callers = len({*waiting.values(), name})
        try:
            future = self.coalescer.submit(key, f"text of {key}", origin=key, caller=name)
        except QueueFull:
            assert min(len(waiting), callers * (theirs + 1) - 1) >= QUEUE_LIMIT or len(waiting) >= 2 * QUEUE_LIMIT
            assert key not in waiting
            return
        assert not future.done()
        self.callers.append(Caller(key, future))

    @rule(which=st.integers(0, 20))
    def leave(self, which: int) -> None:
        """A caller no longer waits, whether the answer has come or not."""
        if waiting := [caller for caller in self.callers if caller.waits]:
            caller = waiting[which % len(waiting)]
            caller.waits = False
            self.coalescer.leave(caller.key, caller.future)

    @rule(keys=st.sets(st.sampled_from(KEYS), max_size=3))
    def resolve(self, keys: set[str]) -> None:
        """Answers come: to texts that were sent here or elsewhere, or that nobody asked for."""
        self.owed -= keys
        self.coalescer.resolve({key: self.answer(key) for key in keys})

    @rule(seconds=st.sampled_from([0.001, 0.01, 1.0, EXPIRE_S]))
    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @rule(seed=st.integers(0, 2**32), steps=st.integers(1, 8))
    def work(self, seed: int, steps: int) -> None:
        """The coalescer takes steps. Callers of failed claims and sendings get the error; old chunks have expired."""
        self.chance = random.Random(seed)
        for _ in range(steps):
            self.now += self.chance.choice((0.0, LINGER_MOST_S))
            self.coalescer.take_step(wait=False)
            assert all(isinstance(future.exception(0), ClaimFailed | SendFailed) for future in self.failed)
            self.failed.clear()
            assert all(chunk.sent_at > self.now - EXPIRE_S for chunk in self.coalescer._entries.chunks)
        self.chance = None

    # What the coalescer calls

    def answer(self, key: str) -> str:
        """A unique answer for a text."""
        self.answers += 1
        return f"{key}: answer {self.answers}"

    def meanwhile(self) -> None:
        """Lets other events happen while the coalescer waits for Redis."""
        if (chance := self.chance) is None:
            return
        for _ in range(chance.randrange(4)):
            what = chance.randrange(4)
            if what == 0:
                self.leave(chance.randrange(20))
            elif what == 1:
                self.resolve(set(chance.sample(KEYS, chance.randrange(3))))
            else:
                self.submit(chance.choice(KEYS), chance.choice(NAMES))

    def fails(self) -> bool:
        """Whether this call fails: a few of them do."""
        return self.chance is not None and self.chance.random() < 0.2

    def unanswered(self, keys: Iterable[str]) -> list[Future[str]]:
        """The unanswered futures of callers that wait for these texts."""
        found = [entry.future for entry in self.coalescer._entries if entry.key in set(keys)]
        return [future for future in found if not future.done()]

    def claim(self, texts: Mapping[str, str]) -> Claimed[str]:
        """Finds each text known, to be sent, or under way elsewhere; or fails."""
        assert texts == {key: f"text of {key}" for key in texts}
        if self.fails():
            asked = self.unanswered(texts)
            self.meanwhile()
            # Callers that came meanwhile get the error, too.
            gathered = [entry.future for entry in self.coalescer._entries.gathered]
            self.failed += [future for future in [*asked, *gathered] if not future.done()]
            raise ClaimFailed
        found = {key: "to send" if self.chance is None else self.chance.choice(FOUND) for key in texts}
        to_send = {key for key, what in found.items() if what == "to send"}
        self.owed |= to_send
        self.meanwhile()
        return Claimed({key: self.answer(key) for key, what in found.items() if what == "known"}, to_send)

    def send(self, texts: Mapping[str, str], origins: Sequence[object], _: object) -> None:
        """Checks that each text was claimed and is sent once; or fails, which gives the claims up."""
        assert texts == {key: f"text of {key}" for key in texts}
        assert set(origins) <= set(texts)
        assert texts
        assert set(texts) <= self.owed | self.relied_on
        self.owed -= set(texts)
        self.relied_on.clear()
        # A text that others rely on may have been asked for again since it was given up: that caller does not count
        # yet.
        gathered = {entry.future for entry in self.coalescer._entries.gathered}
        sent = [future for future in self.unanswered(texts) if future not in gathered]
        self.meanwhile()
        if self.fails():
            self.failed += [future for future in sent if not future.done()]
            raise SendFailed

    def release(self, keys: Iterable[str]) -> Iterable[str]:
        """Returns some texts that others rely on; or fails, as the cache is away, and the claims expire."""
        given_up = list(keys)
        self.owed -= set(given_up)
        self.meanwhile()
        if self.fails():
            raise ClaimFailed
        self.relied_on = {key for key in given_up if self.chance is not None and self.chance.random() < 0.5}
        return self.relied_on

    # What is always true

    @invariant()
    def nobody_is_lost(self) -> None:
        """A caller without an answer has an entry; a caller with one has the answer to its own text, or the error."""
        entries = {entry.key: entry for entry in self.coalescer._entries}
        for caller in self.callers:
            if caller.future.done():
                error = caller.future.exception()
                assert isinstance(error, ClaimFailed | SendFailed) if error else True
                assert error or caller.future.result().startswith(f"{caller.key}: answer")
            elif caller.waits:
                assert entries[caller.key].future is caller.future
        for entry in entries.values():
            waiting = [caller for caller in self.callers if caller.waits and caller.future is entry.future]
            assert entry.waiters == len(waiting)
            assert entry.waiters or entry.state in (State.CLAIMED, State.UNDER_WAY)

    @invariant()
    def containers_agree(self) -> None:
        """Every text is in the container of its state and in no other; a chunk without texts is gone."""
        entries = self.coalescer._entries
        by_state = {state: {entry for entry in entries if entry.state is state} for state in State}
        assert set(entries.gathered) == by_state[State.GATHERED]
        assert set(entries.claimed) == by_state[State.CLAIMED]
        assert not by_state[State.DONE]
        chunked = [entry for chunk in entries.chunks for entry in chunk.entries]
        assert len(chunked) == len(set(chunked)) == len(by_state[State.UNDER_WAY])
        assert set(chunked) == by_state[State.UNDER_WAY]
        assert all(entry.chunk is chunk for chunk in entries.chunks for entry in chunk.entries)
        assert all(0 < len(chunk.entries) <= CHUNK_LIMIT for chunk in entries.chunks)
        assert entries.places_taken == sum(not chunk.extra for chunk in entries.chunks) <= UNDER_WAY
        assert sum(chunk.extra for chunk in entries.chunks) <= 1
        assert self.coalescer.waiting == len(list(entries)) <= 2 * QUEUE_LIMIT

    @invariant()
    def shares_add_up(self) -> None:
        """Each caller's share counts the texts that wait in the caller's turn; a share without texts is gone."""
        entries = self.coalescer._entries
        for share in entries._shares.values():
            theirs = [entry for entry in entries if entry.share is share]
            assert share.texts == len(theirs) > 0
            assert share.cost == sum(entry.cost for entry in theirs)
            assert share.under_way == sum(entry.state is State.UNDER_WAY for entry in theirs)
            assert set(share.claimed.values()) == {entry for entry in theirs if entry.state is State.CLAIMED}
        assert sum(share.texts for share in entries._shares.values()) == len(entries)
        assert entries._cost == sum(entry.cost for entry in entries)

    def teardown(self) -> None:
        """When no more callers come, all are answered, all claimed texts are sent or given up, and nothing is left."""
        for _ in range(50):
            self.now += 0.1  # nobody comes back
            while self.coalescer.take_step(wait=False):
                pass
            self.resolve(set(KEYS) - self.owed)
        assert all(caller.future.done() for caller in self.callers if caller.waits)
        assert not self.coalescer.waiting
        assert not self.coalescer._entries.chunks
        self.nobody_is_lost()
        self.containers_agree()
        assert not self.owed


Coalescing.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestCoalescing = pytest.mark.timeout(120)(Coalescing.TestCase)
