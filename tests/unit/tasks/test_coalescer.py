"""The coalescer with real threads."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitOver
from queue import Empty, SimpleQueue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import QueueFull
from tasks.submit.coalescer import Claimed, Coalescer
from tasks.submit.queue_limit import ALWAYS_WAITING, QueueLimit
from tests.support.waiting import wait_until


class Sender:
    """Records what the coalescer claims, sends and gives up. With a `gate`, each sending waits until it is open."""

    def __init__(self) -> None:
        self.chunks: list[dict[str, str]] = []
        self.queue: SimpleQueue[list[str]] = SimpleQueue()
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.claim_error: Exception | None = None
        self.mine: Callable[[Mapping[str, str]], Iterable[str]] = lambda texts: texts
        self.given_up: list[str] = []
        self.relied_on: set[str] = set()

    def claim(self, texts: Mapping[str, str]) -> Iterable[str]:
        """Claims all texts for this process, unless `mine` says otherwise."""
        if self.claim_error is not None:
            raise self.claim_error
        return self.mine(texts)

    def send(self, texts: Mapping[str, str]) -> None:
        """Records a chunk."""
        self.chunks.append(dict(texts))
        self.queue.put(list(texts))
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error

    def release(self, keys: Iterable[str]) -> Iterable[str]:
        """Gives claims up; returns the texts that others rely on."""
        self.given_up += keys
        return self.relied_on & set(keys)

    def sent(self) -> list[list[str]]:
        """The keys of each chunk so far."""
        return [list(chunk) for chunk in self.chunks]


@pytest.fixture
def sender() -> Sender:
    """A sender that records everything."""
    return Sender()


def make(
    sender: Sender,
    *,
    limit: int = 100,
    under_way: int = 1,
    queue: int = 1000,
    rate: float = math.inf,
    patience_s: float = 2.0,
    expire_s: float = 60.0,
) -> Coalescer[str]:
    """A coalescer that uses a sender."""
    return Coalescer(
        lambda texts: Claimed({}, sender.claim(texts)),
        lambda texts, *_: sender.send(texts),
        sender.release,
        queue_limit=QueueLimit(max_texts=queue, rate=lambda: rate, patience_s=patience_s),
        chunk_limit=lambda _: limit,
        max_under_way=lambda: under_way,
        expire_after_s=expire_s,
    )


def answer(coalescer: Coalescer[str], *keys: str) -> None:
    """Answers each key with the key in capitals."""
    coalescer.resolve({key: key.upper() for key in keys})


def test_lone_text_leaves_at_once(sender: Sender) -> None:
    """A text that comes alone is sent without waiting for others, and its caller gets the outcome."""
    coalescer = make(sender)
    future = coalescer.submit("a", "text a")
    wait_until(lambda: sender.chunks == [{"a": "text a"}], what="the text to be sent")
    answer(coalescer, "a")
    assert future.result(5) == "A"
    assert coalescer.waiting == 0


def test_texts_gather_while_chunks_are_out(sender: Sender) -> None:
    """While as many chunks are under way as allowed, texts gather; when one is answered, they leave as one."""
    coalescer = make(sender, under_way=2)
    coalescer.submit("a", "")
    wait_until(lambda: sender.sent() == [["a"]], what="the first chunk")
    coalescer.submit("b", "")
    wait_until(lambda: sender.sent() == [["a"], ["b"]], what="the second chunk")
    futures = {}
    free = make(yardstick := Sender(), under_way=100)
    for key in "cdefg":
        futures[key] = coalescer.submit(key, "")
        # Time enough for one that did not hold back: another, with room, has sent a text in the meantime.
        free.submit(key, "")
        wait_until(lambda key=key: [key] in yardstick.sent(), what="the other coalescer to send")  # type: ignore[misc]
    assert sender.sent() == [["a"], ["b"]]
    answer(coalescer, "a")
    wait_until(lambda: sender.sent()[2:] == [["c", "d", "e", "f", "g"]], what="the gathered texts to leave as one")
    answer(coalescer, "b", *"cdefg")
    assert {key: future.result(5) for key, future in futures.items()} == {key: key.upper() for key in "cdefg"}


def test_chunk_limit(sender: Sender) -> None:
    """No chunk is larger than the limit, which is read again for each chunk."""
    limits = iter([1, 2, 3, 100])
    coalescer = make(sender)
    coalescer._chunk_limit = lambda _: next(limits)
    sender.gate.clear()
    for key in "abcdefgh":
        coalescer.submit(key, "")
    sender.gate.set()
    for count in (1, 3, 6):
        wait_until(lambda count=count: sum(map(len, sender.chunks)) == count, what=f"{count} texts sent")  # type: ignore[misc]
        answer(coalescer, *sender.chunks[-1])
    wait_until(lambda: sender.sent() == [["a"], ["b", "c"], ["d", "e", "f"], ["g", "h"]], what="all texts sent")


def test_same_key_shares_all(sender: Sender) -> None:
    """Callers of one key share one future and one sending."""
    coalescer = make(sender)
    with ThreadPoolExecutor(20) as pool:
        futures = list(pool.map(lambda _: coalescer.submit("a", "text"), range(50)))
    assert len(set(map(id, futures))) == 1
    assert sender.queue.get(timeout=10) == ["a"]
    answer(coalescer, "a")
    assert futures[0].result(5) == "A"
    assert sender.sent() == [["a"]]
    assert coalescer.submit("a", "text") is not futures[0]


def test_failed_sending_reaches_all(sender: Sender) -> None:
    """An error of the sending reaches all callers of the chunk, and the next text is sent as usual."""
    coalescer = make(sender)
    sender.gate.clear()
    sender.error = OSError("broker away")
    futures = [coalescer.submit(key, "") for key in "aab"]
    sender.gate.set()
    for future in futures:
        with pytest.raises(OSError, match="broker away"):
            future.result(5)
    assert coalescer.waiting == 0
    sender.error = None
    future = coalescer.submit("a", "")
    wait_until(lambda: sender.sent()[-1] == ["a"], what="the text to be sent")
    answer(coalescer, "a")
    assert future.result(5) == "A"


def test_queue_full(sender: Sender) -> None:
    """Beyond the limit, a new text is refused with the seconds to wait; a text that already waits is not refused."""
    coalescer = make(sender, queue=2)
    coalescer.submit("a", "")
    coalescer.submit("b", "")
    with pytest.raises(QueueFull) as refused:
        coalescer.submit("c", "")
    assert 1 <= refused.value.retry_after_s <= 60
    coalescer.submit("a", "")
    answer(coalescer, "a")
    coalescer.submit("c", "")


def fill(coalescer: Coalescer[str], names: Iterable[int]) -> int:
    """Submits texts until one is refused; returns the seconds to wait in its error."""
    for name in names:
        try:
            coalescer.submit(str(name), "")
        except QueueFull as refused:
            return refused.retry_after_s
    raise AssertionError("all were accepted")


def test_nobody_waits_in_vain(sender: Sender) -> None:
    """Only as many texts may wait as workers do in 80 % of the callers' timeout; the error says how long they take."""
    coalescer = make(sender, rate=10, patience_s=5)
    assert fill(coalescer, range(1000)) == 4
    assert coalescer.waiting == 40


def test_slow_workers(sender: Sender) -> None:
    """A few texts may always wait, however slow the workers are: they become jobs."""
    coalescer = make(sender, rate=0.01, patience_s=0.1)
    assert fill(coalescer, range(1000)) == 60
    assert coalescer.waiting == ALWAYS_WAITING


def test_measured_rate(sender: Sender) -> None:
    """While callers always wait, the measured rate decides how many may wait; otherwise the expected rate does."""
    coalescer = make(sender, limit=1, rate=1, patience_s=1)
    names = itertools.count()
    fill(coalescer, names)
    assert coalescer.waiting == ALWAYS_WAITING

    def drain(count: int) -> None:
        for _ in range(count):
            answer(coalescer, *sender.queue.get(timeout=5))

    def more_let_in() -> bool:
        drain(10)
        fill(coalescer, names)
        return coalescer.waiting > 2 * ALWAYS_WAITING

    wait_until(more_let_in, what="more to be let in")

    def as_few() -> bool:
        drain(coalescer.waiting)
        fill(coalescer, names)
        return coalescer.waiting == ALWAYS_WAITING

    wait_until(as_few, what="as few to be let in as at first")


def test_idle_time_is_no_slowness(sender: Sender) -> None:
    """After a time without callers, the expected rate decides how many may wait, even if many come at once."""
    coalescer = make(sender, rate=1000, queue=200)

    def answered_after_a_pause(*texts: str) -> None:
        since = time.monotonic()
        wait_until(lambda: time.monotonic() > since + 1.1, what="a time in which nobody comes")
        before = len(sender.chunks)
        for text in texts:
            coalescer.submit(text, "")
            wait_until(lambda: len(sender.chunks) > before, what="the first text to be sent")
        answer(coalescer, texts[0])

    answered_after_a_pause("a")
    answered_after_a_pause("b", "c")
    fill(coalescer, range(1000))
    assert coalescer.waiting == 200


def test_who_left_early_is_dropped(sender: Sender) -> None:
    """A text whose last caller left before it was sent is never sent; one that another caller waits for is sent."""
    coalescer = make(sender)
    coalescer.submit("first", "")
    wait_until(lambda: sender.sent() == [["first"]], what="the first chunk")
    gone, kept = coalescer.submit("gone", ""), coalescer.submit("kept", "")
    coalescer.submit("kept", "")
    coalescer.leave("gone", gone)
    coalescer.leave("kept", kept)
    answer(coalescer, "first")
    wait_until(lambda: sender.sent() == [["first"], ["kept"]], what="the text that is still waited for")
    assert not gone.done()


def test_leaving_twice_or_late(sender: Sender) -> None:
    """Leaving after the answer, or with an old future, does not affect other callers."""
    coalescer = make(sender)
    old = coalescer.submit("a", "")
    wait_until(lambda: sender.sent() == [["a"]], what="the first chunk")
    answer(coalescer, "a")
    new = coalescer.submit("a", "")
    coalescer.leave("a", old)
    coalescer.leave("nobody", old)
    answer(coalescer, "a")
    assert new.result(5) == "A"


def test_callers_who_come_back_are_waited_for(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a chunk is answered, waiting texts wait for as many new ones, and all leave in one claim and one chunk."""
    monkeypatch.setattr("tasks.submit.lingering.LINGER_SHARE", 1e9)
    monkeypatch.setattr("tasks.submit.lingering.LINGER_MOST_S", 60.0)
    claimed: list[list[str]] = []

    def mine(texts: Mapping[str, str]) -> Iterable[str]:
        claimed.append(list(texts))
        return texts

    sender.mine = mine
    coalescer = make(sender)
    sender.gate.clear()
    coalescer.submit("first", "")
    wait_until(lambda: sender.sent() == [["first"]], what="the first chunk")
    for key in "abc":
        coalescer.submit(key, "")
    sender.gate.set()
    wait_until(
        lambda: [*itertools.chain(*claimed)] == ["first", *"abc"], what="texts to be claimed while a chunk is under way"
    )
    answer(coalescer, "first")
    coalescer.submit("again", "")
    wait_until(lambda: sender.sent()[1:] == [["a", "b", "c", "again"]], what="the second chunk")

    for chunk in sender.sent():
        assert sender.queue.get(timeout=5) == chunk
    coalescer.submit("d", "")
    wait_until(lambda: claimed[-1] == ["d"], what="the next one to be claimed")
    answer(coalescer, "a", "b", "c", "again")
    for key in "efg":
        coalescer.submit(key, "")
        with pytest.raises(Empty):
            sender.queue.get(timeout=0.1)
    coalescer.submit("h", "")
    wait_until(lambda: sender.sent()[2:] == [list("defgh")], what="the third chunk")
    assert claimed[-1] == list("efgh")


def test_callers_who_do_not_come_back(sender: Sender) -> None:
    """If no callers come back, waiting texts leave after a moment."""
    coalescer = make(sender)
    for key in "ab":
        coalescer.submit(key, "")
    wait_until(lambda: sum(map(len, sender.chunks)) >= 1, what="the first chunk")
    coalescer.submit("c", "")
    answer(coalescer, "a", "b")
    wait_until(lambda: "c" in sender.sent()[-1], what="the text that waited to be sent")


def test_expired_chunk_frees_its_place(sender: Sender) -> None:
    """An unanswered chunk holds up the next only until it expires; a late answer still reaches its caller."""
    coalescer = make(sender, expire_s=0.05)
    late = coalescer.submit("late", "")
    wait_until(lambda: sender.sent() == [["late"]], what="the first chunk")
    coalescer.submit("next", "")
    wait_until(lambda: sender.sent() == [["late"], ["next"]], what="the next chunk")
    answer(coalescer, "late")
    assert late.result(5) == "LATE"


def test_expired_and_left(sender: Sender) -> None:
    """An unanswered text that nobody waits for is dropped when its chunk expires, and so does not fill the queue."""
    coalescer = make(sender, expire_s=0.05, queue=1)
    coalescer.leave("a", coalescer.submit("a", ""))
    wait_until(lambda: coalescer.waiting == 0, what="the text to be forgotten")
    coalescer.submit("b", "")


def test_unknown_outcomes(sender: Sender) -> None:
    """Outcomes that nobody waits for are ignored, before the first text and after."""
    coalescer = make(sender)
    answer(coalescer, "x")
    future = coalescer.submit("a", "")
    answer(coalescer, "y", "a")
    assert future.result(5) == "A"
    answer(coalescer, "a")


def test_under_way_elsewhere(sender: Sender) -> None:
    """Texts that another process has sent do not count as under way here, and their callers are still answered."""
    sender.mine = lambda texts: [key for key in texts if not key.startswith("other")]
    coalescer = make(sender)
    other = coalescer.submit("other", "")
    mine = coalescer.submit("mine", "")
    wait_until(lambda: sender.sent() == [["mine"]], what="the text that is not elsewhere")
    answer(coalescer, "mine", "other")
    assert (other.result(5), mine.result(5)) == ("OTHER", "MINE")


def test_answered_while_it_is_being_sent(sender: Sender) -> None:
    """An answer that comes before the sending has returned is not lost, and makes room for the next chunk."""
    coalescer = make(sender)
    sender.gate.clear()
    future = coalescer.submit("a", "")
    wait_until(lambda: sender.sent() == [["a"]], what="the chunk to be on its way")
    answer(coalescer, "a")
    assert future.result(5) == "A"
    sender.gate.set()
    coalescer.submit("b", "")
    wait_until(lambda: sender.sent() == [["a"], ["b"]], what="the next chunk")


def test_overdue(sender: Sender) -> None:
    """Texts that were claimed and not answered are overdue, including those that others may have sent."""
    coalescer = make(sender)
    coalescer.submit("sent", "")
    wait_until(lambda: sender.sent() == [["sent"]], what="the first chunk")
    coalescer.submit("claimed", "")
    wait_until(lambda: coalescer.overdue(0.01) == ["sent", "claimed"], what="the texts to be overdue")
    assert coalescer.overdue(60) == []


def test_known_texts_need_no_place(sender: Sender) -> None:
    """A text that the claim finds known is answered at once, however many chunks are under way."""
    coalescer = make(sender)
    coalescer.submit("a", "")
    wait_until(lambda: sender.sent() == [["a"]], what="the first chunk")

    def claim(texts: Mapping[str, str]) -> Iterable[str]:
        coalescer.resolve({key: "known" for key in texts if key == "b"})
        return [key for key in texts if key != "b"]

    sender.mine = claim
    future = coalescer.submit("b", "")
    assert future.result(5) == "known"
    assert sender.sent() == [["a"]]


def test_failed_claim_reaches_all(sender: Sender) -> None:
    """An error of a claim reaches all its callers, and the next text is claimed as usual."""
    coalescer = make(sender)
    sender.claim_error = OSError("cache away")
    future = coalescer.submit("a", "")
    with pytest.raises(OSError, match="cache away"):
        future.result(5)
    sender.claim_error = None
    coalescer.submit("a", "")
    wait_until(lambda: sender.sent() == [["a"]], what="the text to be sent")


def test_claims_of_those_who_left(sender: Sender) -> None:
    """A claimed text whose callers have all left is given up at its turn, or sent if another process relies on it."""
    sender.relied_on = {"relied on"}
    coalescer = make(sender)
    coalescer.submit("first", "")
    wait_until(lambda: sender.sent() == [["first"]], what="the first chunk")
    futures = {key: coalescer.submit(key, "") for key in ("gone", "relied on", "kept")}
    wait_until(lambda: len(coalescer.overdue(0)) == 4, what="all to be claimed")
    coalescer.leave("gone", futures["gone"])
    coalescer.leave("relied on", futures["relied on"])
    answer(coalescer, "first")
    wait_until(lambda: len(sender.chunks) == 2, what="the next chunk")
    assert sorted(sender.chunks[1]) == ["kept", "relied on"]
    assert sender.given_up == ["gone", "relied on"]
    answer(coalescer, "kept", "relied on")
    assert futures["kept"].result(5) == "KEPT"
    assert coalescer.waiting == 0
    coalescer.submit("gone", "")
    wait_until(lambda: sender.sent()[2:] == [["gone"]], what="a later caller's text")


def test_what_is_sent_for_others_takes_no_place(sender: Sender) -> None:
    """A text that is sent only for another process does not count as under way here, since its answer goes there."""
    sender.relied_on = {"relied on"}
    coalescer = make(sender)
    coalescer.submit("first", "")
    wait_until(lambda: sender.sent() == [["first"]], what="the first chunk")
    futures = {key: coalescer.submit(key, "") for key in ("relied on", "kept")}
    wait_until(lambda: len(coalescer.overdue(0)) == 3, what="all to be claimed")
    coalescer.leave("relied on", futures["relied on"])
    answer(coalescer, "first")
    wait_until(lambda: len(sender.chunks) == 2, what="the next chunk")
    assert sorted(sender.chunks[1]) == ["kept", "relied on"]
    coalescer.submit("next", "")
    answer(coalescer, "kept")
    wait_until(lambda: sender.sent()[2:] == [["next"]], what="the chunk after it")


def test_sent_on_behalf_of_all_who_wait() -> None:
    """A chunk is sent with the origins of all its callers, in the order of the texts."""
    sent: SimpleQueue[tuple[dict[str, str], list[object]]] = SimpleQueue()
    coalescer: Coalescer[str] = Coalescer(
        lambda texts: Claimed({}, texts),
        lambda texts, origins, _: sent.put((dict(texts), list(origins))),
        lambda keys: (),
        queue_limit=QueueLimit(max_texts=10),
        chunk_limit=lambda _: 10,
        max_under_way=lambda: 1,
        expire_after_s=60,
    )
    coalescer.submit("first", "")
    assert sent.get(timeout=5) == ({"first": ""}, [])
    for key, origin in (("a", 1), ("b", 2), ("a", 3), ("b", None)):
        coalescer.submit(key, f"text {key}", origin)
    answer(coalescer, "first")
    assert sent.get(timeout=5) == ({"a": "text a", "b": "text b"}, [1, 3, 2])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 4))
def test_every_caller_gets_their_own_answer(seed: int, limit: int, under_way: int) -> None:
    """For any threads, keys, limits and order of answers, callers that stay are answered rightly; nothing is left."""
    chunks: list[dict[str, str]] = []
    lock, work, done = threading.Lock(), threading.Semaphore(0), threading.Event()

    def send(texts: Mapping[str, str]) -> None:
        with lock:
            chunks.append(dict(texts))
        work.release()

    coalescer: Coalescer[str] = Coalescer(
        lambda texts: Claimed({}, texts),
        lambda texts, *_: send(texts),
        lambda _: (),
        queue_limit=QueueLimit(max_texts=10_000),
        chunk_limit=lambda _: limit,
        max_under_way=lambda: under_way,
        expire_after_s=60,
    )

    def serve() -> None:
        chance = random.Random(seed)
        while True:
            work.acquire()
            if done.is_set():
                return
            with lock:
                chunk = chunks.pop(chance.randrange(len(chunks)))
            assert len(chunk) <= limit
            keys = list(chunk)
            chance.shuffle(keys)
            half = chance.randrange(len(keys) + 1)
            for part in (keys[:half], keys[half:]):
                coalescer.resolve({key: f"answer to {chunk[key]}" for key in part})

    def call(caller: int) -> int:
        chance, wrong = random.Random(f"{seed}-{caller}"), 0
        for _ in range(40):
            key = f"key {chance.randrange(12)}"
            future: Future[str] = coalescer.submit(key, f"text of {key}")
            try:
                if chance.random() < 0.2:
                    future.result(0)
                else:
                    wrong += future.result(20) != f"answer to text of {key}"
            except WaitOver:
                pass
            finally:
                coalescer.leave(key, future)
        return wrong

    servers = [threading.Thread(target=serve, daemon=True) for _ in range(2)]
    for server in servers:
        server.start()
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(call, range(8))) == 0
    wait_until(lambda: coalescer.waiting == 0, what="nothing to wait any more")
    done.set()
    work.release(len(servers))
    for server in servers:
        server.join(5)
