"""How the coalescer shares chunks and the queue between callers, without its thread."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cost import SHORT_BYTES, cost
from tasks.errors import QueueFull
from tasks.submit.coalescer import SEVERAL_S, Claimed, Coalescer
from tasks.submit.queue_limit import QueueLimit

LONG = "x" * 10 * SHORT_BYTES


class Web:
    """A coalescer whose chunks are answered when a test says so."""

    def __init__(self, *, limit: int = 20, shared_limit: int = 10, queue: int = 1000, rate: float = math.inf) -> None:
        self.now = 1000.0
        self.chunks: list[list[str]] = []
        self.numbers = itertools.count()
        self.callers: dict[str, str] = {}
        self.refused: Counter[str] = Counter()
        self.coalescer: Coalescer[str] = Coalescer(
            lambda texts: Claimed({}, texts),
            lambda texts, *_: self._send(texts),
            lambda keys: (),
            queue_limit=QueueLimit(max_texts=queue, rate=lambda: rate, patience_s=1.0, clock=lambda: self.now),
            chunk_limit=lambda round_trip_s: limit if round_trip_s is None else shared_limit,
            max_under_way=lambda: 1,
            expire_after_s=60,
            clock=lambda: self.now,
            start=lambda step: None,
        )

    def _send(self, texts: Mapping[str, str]) -> None:
        self.chunks.append(list(texts))

    def ask(self, caller: str, count: int = 1, text: str = "") -> list[str]:
        """So many new texts of a caller come; returns the keys of those that were not refused."""
        keys = []
        for _ in range(count):
            key = f"{caller} {next(self.numbers)}"
            try:
                self.coalescer.submit(key, text, caller=caller)
            except QueueFull:
                self.refused[caller] += 1
            else:
                self.callers[key] = caller
                keys.append(key)
        return keys

    def go(self) -> None:
        """Sends what may be sent."""
        while self.coalescer.take_step(wait=False):
            pass

    def answer(self) -> list[str]:
        """Answers the chunk that is under way, and lets the next one leave; returns whose texts the next one has."""
        self.coalescer.resolve(dict.fromkeys(self.chunks[-1], ""))
        self.now += 0.02  # nobody comes back
        self.go()
        return [self.callers[key] for key in self.chunks[-1]]


def test_one_text_beside_many() -> None:
    """A caller's only text leaves at once, though hundreds of another's were there before; further ones leave soon."""
    web = Web()
    web.ask("greedy", 300)
    web.go()
    first = web.ask("modest")
    web.go()
    assert web.chunks[1:] == [first]
    more = web.ask("modest", 3)
    web.go()
    assert web.chunks[1:] == [first]
    web.coalescer.resolve(dict.fromkeys(web.chunks[0], ""))
    web.now += 0.02
    web.go()
    assert set(more) <= set(web.chunks[2])


def test_a_lone_text_is_not_answered_with_long_ones() -> None:
    """A lone text beside another caller's leaves by itself even where there is a place for a chunk, and with texts that
    cost about as much.
    """
    web = Web(shared_limit=30)
    web.ask("modest")
    web.go()
    web.answer()
    web.ask("greedy", 30, LONG)
    first, second = web.ask("modest"), web.ask("another")
    before = len(web.chunks)
    web.go()
    assert web.chunks[before] == [*first, *second]
    assert {web.callers[key] for key in web.chunks[before + 1]} == {"greedy"}


def test_lone_texts_of_many_callers() -> None:
    """Only one chunk leaves without a place: with a text of each caller that has none under way, up to the limit."""
    web = Web(shared_limit=10)
    web.ask("greedy", 300)
    web.go()
    web.ask("first")
    web.go()
    for number in range(15):
        web.ask(f"caller {number}", 2)
    web.go()
    assert len(web.chunks) == 2
    assert [web.callers[key] for key in web.chunks[1]] == ["first"]
    web.coalescer.resolve(dict.fromkeys(web.chunks[1], ""))
    web.now += 0.02
    web.go()
    assert len(web.chunks) == 3
    assert len({web.callers[key] for key in web.chunks[2]}) == len(web.chunks[2]) == 10


def test_turns_are_by_cost() -> None:
    """Two callers have the same cost of their texts in the chunks: eleven short texts for a long one."""
    web = Web(shared_limit=33)
    web.ask("first")
    web.go()
    web.ask("long", 20, LONG)
    web.ask("short", 200)
    assert cost(LONG) == 11
    found = Counter(caller for _ in range(12) for caller in web.answer())
    assert abs(11 * found["long"] - found["short"]) <= 11


def test_chunks_are_bounded_by_cost() -> None:
    """A chunk has fewer long texts than short ones, and at least one, however long it is."""
    web = Web(limit=25)
    web.ask("me", 5, LONG)
    web.go()
    assert list(map(len, web.chunks)) == [2]
    web = Web(limit=5)
    web.ask("me", 2, LONG)
    web.go()
    assert list(map(len, web.chunks)) == [1]


def test_smaller_chunks_while_several_callers_send() -> None:
    """Chunks are small while several callers send texts, even if only one of them has texts waiting at a time."""
    web = Web(limit=20, shared_limit=10)
    web.ask("greedy", 100)
    web.go()
    assert len(web.chunks[-1]) == 20
    web.ask("modest")
    assert len(web.answer()) == 10
    assert len(web.answer()) == 10
    web.now += SEVERAL_S
    assert len(web.answer()) == 20


def test_order_of_one_caller() -> None:
    """A caller's texts leave in the order in which they came."""
    web = Web()
    keys = web.ask("me", 50)
    web.go()
    web.ask("other", 3)
    while sum(map(len, web.chunks)) < 53:
        web.answer()
    assert [key for chunk in web.chunks for key in chunk if key in keys] == keys


def test_nobody_saves_turns_up() -> None:
    """A caller who sent nothing for long has no more of the next chunks than another who always did."""
    web = Web(shared_limit=10)
    web.ask("late")
    web.ask("always", 500)
    web.go()
    for _ in range(20):
        web.answer()
    web.ask("late", 100)
    for _ in range(5):
        assert Counter(web.answer()) == {"always": 5, "late": 5}


def test_text_of_several_callers() -> None:
    """A text that waits among many of one caller's leaves soon if a caller with fewer texts asks for it too."""
    web = Web()
    keys = web.ask("greedy", 300)
    web.go()
    web.coalescer.submit(keys[-1], "", caller="modest")
    web.coalescer.submit(keys[-2], "", caller="modest")
    web.answer()
    assert {keys[-1], keys[-2]} <= {*web.chunks[-2], *web.chunks[-1]}


def test_full_queue_of_another() -> None:
    """A caller with few texts is not refused while another, whose share is full, is."""
    web = Web(queue=100)
    web.ask("greedy", 200)
    assert web.refused == {"greedy": 100}
    web.go()
    assert len(web.ask("modest", 50)) == 50
    web.ask("greedy", 10)
    web.ask("modest", 10)
    assert web.refused == {"greedy": 110, "modest": 10}
    while web.coalescer.waiting > 60:
        web.answer()
    web.ask("greedy", 100)  # nobody else wants what is free
    assert web.coalescer.waiting == 100
    assert len(web.ask("modest", 10)) == 10


def test_nobody_waits_in_vain_beside_others() -> None:
    """Texts are let in by what they cost and by the caller's share: as many as are answered in the callers' time."""
    web = Web(rate=400)
    assert len(web.ask("me", 1000, LONG)) == math.ceil(0.8 * 400 / 11)
    assert 100 <= len(web.ask("other", 1000)) <= 160


@given(callers=st.integers(1, 300))
def test_many_callers_together(callers: int) -> None:
    """Many callers with a text each are let in as one with as many texts: none of them would wait less."""
    web = Web(queue=100)
    for number in range(callers):
        web.ask(f"caller {number}")
    assert web.coalescer.waiting == min(callers, 100)


def test_limit_of_all() -> None:
    """However many callers come one after the other, no more than twice the limit of one wait."""
    web = Web(queue=60)
    for number in range(60):
        web.ask(f"caller {number}", 100)
    assert 60 <= web.coalescer.waiting <= 120


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", 1), ("a" * 149, 1), ("a" * 150, 2), ("é" * 75, 2), ("漢" * 1000, 21), ("a" * 10**6, 6667)],
)
def test_cost(text: str, expected: int) -> None:
    """A text costs by its bytes, as far as engines read it."""
    assert cost(text) == expected
