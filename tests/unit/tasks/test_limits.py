"""Limits, on a real server: which texts pass, what that costs, and when the limit is fresh again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.errors import JobTooLarge, QuotaExceeded, RateLimited
from tasks.store.connections import connect
from tasks.store.limits import Bill, Limit, Limits, limits_of
from tests.support.stack import Stack
from tests.support.waiting import wait_until

DAY_S = 86_400
MakeLimit = Callable[..., Limit]


@pytest.fixture
def make_limit(server: Stack) -> MakeLimit:
    """Makes limits, each like that of one process, on one server."""

    def make(amount: int, *, window_s: int = DAY_S, processes: int = 1) -> Limit:
        return Limit(server.redis, "test", amount, window_s, QuotaExceeded, processes=processes)

    return make


def passed(limit: Limit, caller: str, tries: int) -> int:
    """The number of texts that pass, of `tries`."""
    count = 0
    for _ in range(tries):
        try:
            limit.take(caller)
            count += 1
        except QuotaExceeded:
            pass
    return count


def scripts_run(server: Stack) -> int:
    """The number of scripts that the server has run since it started."""
    calls: int = server.redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    return calls


def test_as_many_as_the_limit(make_limit: MakeLimit) -> None:
    """Through one process, exactly the limit of a caller's texts passes; callers are counted separately."""
    limit = make_limit(57)
    assert passed(limit, "ann", 100) == 57
    assert passed(limit, "bob", 20) == 20


def test_never_more_over_processes(make_limit: MakeLimit) -> None:
    """Processes share the count: together they let no more than the limit pass, and at most a block each less."""
    processes = [make_limit(1000, processes=4) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        count = sum(pool.map(lambda i: passed(processes[i % 4], "ann", 100), range(16)))
    assert 1000 - 3 * (1000 // 80) <= count <= 1000


def test_a_block_is_spent_without_a_round_trip(make_limit: MakeLimit, server: Stack) -> None:
    """Of 5,000 texts, about one in a hundred causes a request to the server."""
    limit = make_limit(1_000_000)
    limit.take("ann")
    before = scripts_run(server)
    for _ in range(5000):
        limit.take("ann")
    assert 49 <= scripts_run(server) - before <= 51


def test_refusals_are_remembered(make_limit: MakeLimit, server: Stack) -> None:
    """A caller that goes on beyond the limit causes hardly any requests to the server."""
    limit = make_limit(10)
    passed(limit, "ann", 10)
    before = scripts_run(server)
    assert passed(limit, "ann", 200) == 0
    assert scripts_run(server) - before <= 5


def test_standing(make_limit: MakeLimit) -> None:
    """The remaining texts count down, and the refusal says when the window ends."""
    limit = make_limit(100, processes=2)
    standings = [limit.take("ann") for _ in range(100)]
    assert [standing.remaining for standing in standings] == list(range(99, -1, -1))
    assert {standing.limit for standing in standings} == {100}
    assert all(0 < standing.reset_s <= DAY_S for standing in standings)
    with pytest.raises(QuotaExceeded) as refused:
        limit.take("ann")
    assert abs(refused.value.retry_after_s - standings[-1].reset_s) <= 2


def test_next_window(make_limit: MakeLimit) -> None:
    """When the window has ended, the whole limit is available again."""
    limit = make_limit(5, window_s=1)
    assert passed(limit, "ann", 50) >= 5

    def again() -> bool:
        return passed(limit, "ann", 1) == 1

    wait_until(again, what="the next second", timeout_s=5)


def test_more_at_once_than_the_limit(make_limit: MakeLimit) -> None:
    """A batch larger than the limit costs the whole limit: it passes in a fresh window, and nothing passes after it."""
    limit = make_limit(10)
    assert limit.take("ann", 25).remaining == 0
    assert passed(limit, "ann", 1) == 0
    limit.take("bob")
    with pytest.raises(QuotaExceeded):
        limit.take("bob", 25)


def test_more_at_once_in_two_parts(make_limit: MakeLimit) -> None:
    """A request that is counted in two parts costs no more than the limit either, so it passes in a fresh window."""
    limit = make_limit(10)
    limit.take("ann")
    assert limit.take("ann", 24, counted=1).remaining == 0
    assert passed(limit, "ann", 1) == 0
    one = make_limit(1)
    one.take("bob")
    assert one.take("bob", 5, counted=1).remaining == 0


@pytest.mark.parametrize(
    ("paid", "came", "used", "counted"),
    [(0, 30, 0, 0), (0, 30, 12, 12), (0, 30, 30, 30), (0, 30, 99, 30), (10, 30, 0, 0), (10, 30, 4, 0), (10, 30, 14, 4)],
)
def test_bill_for_what_was_used(make_limit: MakeLimit, paid: int, came: int, used: int, counted: int) -> None:
    """Of a job that fails, texts that were scored or could be read stay counted; texts that were paid before are not
    counted again and not given back.
    """
    limit = make_limit(1000)
    bill = Bill(Limits(None, limit), "ann", paid=paid)
    assert len(list(bill.counted(range(came)))) == came
    bill.cancel(used)
    assert limit.take("ann").remaining >= 1000 - counted - 50
    assert passed(make_limit(1000), "ann", 1000) in range(1000 - counted - 51, 1000 - counted + 1)


def test_bill_by_length(make_limit: MakeLimit) -> None:
    """Texts that count as several are billed as such, and given back in proportion to those that were used; what was
    paid before is not counted again.
    """
    limit = make_limit(1000)
    bill = Bill(Limits(None, limit), "ann", paid=5)
    assert list(bill.counted([3, 4, 13], lambda charge: charge)) == [3, 4, 13]
    assert limit.take("ann").remaining == 1000 - 15 - 1
    half = Bill(Limits(None, make_limit(100)), "eve")
    assert list(half.counted([30, 30], lambda charge: charge)) == [30, 30]
    half.cancel(1)
    assert passed(make_limit(100), "eve", 100) in range(60, 71)
    other = Bill(Limits(None, make_limit(10)), "bob")
    with pytest.raises(JobTooLarge):
        list(other.counted([6, 6], lambda charge: charge))


def test_bill_that_is_cancelled(make_limit: MakeLimit) -> None:
    """Texts of a job are counted as they come in, and given back, for all processes, if the job fails."""
    here, elsewhere = make_limit(50), make_limit(50)
    bill = Bill(Limits(None, here), "ann")
    assert list(bill.counted(range(30))) == list(range(30))
    with pytest.raises(QuotaExceeded):
        list(bill.counted(range(30)))
    bill.cancel()
    bill.cancel()
    here.take("ann")
    assert passed(elsewhere, "ann", 100) == 48  # this process keeps one of its block of two


@pytest.mark.parametrize(
    ("used", "job", "error", "said"),
    [
        (70, 60, QuotaExceeded, r"This job has 60 texts; of today's 100, 30 are left\. The next day begins"),
        (100, 60, QuotaExceeded, r"You have used up the 100 texts that you may send in a day\. The next day begins"),
        (70, 101, JobTooLarge, r"This job has more texts than the 100 that you may send in a day"),
        (0, 101, JobTooLarge, r"This job has more texts than the 100 that you may send in a day"),
    ],
)
def test_a_job_that_does_not_fit(
    make_limit: MakeLimit, used: int, job: int, error: type[QuotaExceeded | JobTooLarge], said: str
) -> None:
    """A job that does not fit into what is left of the day is told how much that is; one that fits into no day is not
    told to come back.
    """
    limit = make_limit(100)
    if used:
        limit.take("ann", used)
    with pytest.raises(error, match=said) as refused:
        list(Bill(Limits(None, limit), "ann").counted(range(job)))
    if isinstance(refused.value, QuotaExceeded):
        assert (refused.value.limit, refused.value.left) == (100, 100 - used)


def test_a_refused_job_is_not_counted_for_long(make_limit: MakeLimit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a job whose texts come in slowly, those that have come are told."""
    monkeypatch.setattr("tasks.store.limits._COUNTED_S", -1.0)
    bill = Bill(Limits(None, make_limit(100)), "ann")
    list(bill.counted(range(80)))
    with pytest.raises(QuotaExceeded, match=r"This job has more than 20 texts; of today's 100, 20 are left"):
        list(Bill(bill._limits, "ann").counted(range(40)))


def test_refusals_say_what_they_refuse(server: Stack, make_limit: MakeLimit) -> None:
    """A refusal names the limit and the wait, and for a request with several texts also what is left."""
    rate = Limit(server.redis, "rate", 20, 60, RateLimited, processes=1)
    rate.take("ann", 15)
    with pytest.raises(RateLimited, match=r"^You may send 20 texts in a minute\. 5 of them are left, and this request"):
        rate.take("ann", 10)
    rate.take("ann", 5)
    with pytest.raises(
        RateLimited, match=r"^You may send 20 texts in a minute\. None of them is left\. Try again in \d+ s\.$"
    ) as refused:
        rate.take("ann")
    assert (refused.value.limit, refused.value.left) == (20, 0)
    assert f"in {refused.value.retry_after_s} s" in str(refused.value)
    day = make_limit(100)
    day.take("ann", 70)
    with pytest.raises(QuotaExceeded, match=r"^This request has 31 texts; of today's 100, 30 are left\."):
        day.take("ann", 31)


def test_redis_away(caplog: pytest.LogCaptureFixture) -> None:
    """Without Redis nothing is refused, and that is logged once, not for each text."""
    limit = Limit(connect("unix:///nowhere/valkey.sock", timeout_s=0.2), "test", 3, DAY_S, QuotaExceeded, processes=1)
    with caplog.at_level(logging.WARNING):
        assert passed(limit, "ann", 50) == 50
    assert len(caplog.records) == 1
    assert "not counted" in caplog.text


def test_callers_in_memory_are_bounded(make_limit: MakeLimit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers with ever new addresses do not fill the process's memory, and are still counted."""
    monkeypatch.setattr("tasks.store.limits._CALLERS", 10)
    limit = make_limit(3)
    for i in range(100):
        limit.take(f"caller {i}")
    assert len(limit._leases) == 10
    assert passed(limit, "caller 0", 10) == 2


def test_both_limits(server: Stack) -> None:
    """With both limits, the one that is used up first refuses, and the standing is that of the one with less left."""
    limits = limits_of(server.redis, rate=(10, 3600), daily_quota=1000, processes=1)
    assert limits is not None
    first = limits.take("ann", rate=1, quota=1)
    assert first is not None
    assert (first.limit, first.remaining) == (10, 9)
    for _ in range(9):
        limits.take("ann", rate=1, quota=1)
    with pytest.raises(RateLimited):
        limits.take("ann", rate=1, quota=1)
    slow = limits.take("ann", rate=0, quota=1)
    assert slow is not None
    assert slow.limit == 1000
    assert limits_of(server.redis, rate=None, daily_quota=None, processes=1) is None
