"""The arithmetic of docs/scaling.md: the queueing simulation obeys the laws of queues, and measured processor time
becomes costs. No load is made.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from dataclasses import asdict, astuple, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import scaling
from benchmarks.queueing import ENGINE_CALLS, Clock, Cores, Costs, Layout, Server, System, closed
from benchmarks.services import ROOT
from tasks.work.roles import INTERACTIVE

COSTS = Costs(250e-6, 1.2e-3, 25e-6, 300e-6, 150e-6, 1.2e-3, 600e-6, 800e-6)
LAYOUTS = st.builds(
    Layout,
    hosts=st.integers(1, 3),
    cores=st.sampled_from([0.5, 1, 2, 3.5, 8]),
    web=st.integers(1, 4),
    workers=st.integers(1, 3),
    threads=st.integers(1, 4),
    shared=st.booleans(),
)


@settings(max_examples=10, deadline=None)
@given(LAYOUTS, st.integers(1, 300), st.booleans())
def test_no_text_is_lost_or_invented(layout: Layout, callers: int, is_open: bool) -> None:
    """Every caller who has asked is answered or still waits, and each of a fixed number of callers waits for one answer
    at a time.
    """
    system = System(COSTS, layout)
    out = system.open(20.0 * callers, 0.5) if is_open else system.closed(callers, 0.5)
    assert out.asked == out.answered + out.inside
    assert out.answered > 0
    if not is_open:
        assert out.inside == callers
    assert out.messages <= out.asked
    assert out.calls <= out.messages


@settings(max_examples=10, deadline=None)
@given(LAYOUTS, st.integers(1, 300))
def test_processor_time_is_what_there_is(layout: Layout, callers: int) -> None:
    """No host uses more than its cores, and together they use what the answers cost, apart from those under way."""
    system = System(COSTS, layout)
    out = system.closed(callers, 1.0)
    for host in system.hosts:
        assert host.used_s <= layout.cores * system.clock.now + 1e-9
    used_s = sum(host.used_s for host in system.hosts) + (0 if layout.shared else system.redis.used_s)
    per_text_s = COSTS.web_text_s + COSTS.redis_text_s + COSTS.worker_text_s + COSTS.engine_text_s
    per_message_s = COSTS.web_message_s + COSTS.redis_message_s + COSTS.worker_message_s
    owed_s = out.answered * per_text_s + out.messages * per_message_s + out.calls * COSTS.engine_call_s
    under_way = 3 * callers * sum(astuple(COSTS))
    assert used_s == pytest.approx(owed_s, rel=0.1, abs=under_way)


@settings(max_examples=10, deadline=None)
@given(LAYOUTS, st.integers(2, 200))
def test_littles_law(layout: Layout, callers: int) -> None:
    """Callers in the system = answers per second × seconds per answer; the three are counted separately."""
    out = System(COSTS, layout).closed(callers, 1.0)
    assert out.mean_inside == pytest.approx(callers)
    assert out.per_s * out.mean_s == pytest.approx(out.mean_inside, rel=0.1 + 2 * callers / len(out.times_s))


def test_littles_law_of_random_callers() -> None:
    """The same holds if callers come at random; answers then come at the rate of the requests."""
    out = System(COSTS, Layout()).open(500, 20.0)
    assert out.per_s == pytest.approx(500, rel=0.03)
    assert out.per_s * out.mean_s == pytest.approx(out.mean_inside, rel=0.01)


@pytest.mark.parametrize("callers", [1, 32, 256])
def test_more_cores_never_hurt(callers: int) -> None:
    """Answers per second grow with the number of cores, until nothing is left that could run in parallel."""
    rates = [closed(COSTS, Layout(cores=cores), callers, 1.0).per_s for cores in (0.5, 1, 1.5, 2, 3, 4, 8, 16)]
    assert all(more >= 0.99 * less for less, more in itertools.pairwise(rates))
    assert rates[-1] == pytest.approx(rates[-2], rel=0.01)
    if callers > 1:
        assert rates[3] > 1.5 * rates[1]


def test_a_lone_caller_waits_for_the_sum_of_all_parts() -> None:
    """A single caller's answer takes the sum of all parts' times, on one core or on many."""
    for cores in (1, 8):
        out = closed(COSTS, Layout(cores=cores), 1, seconds=20)
        assert out.mean_s == pytest.approx(sum(astuple(COSTS)), rel=0.02)
        assert out.messages == pytest.approx(out.answered, abs=2)


def test_the_slowest_part_sets_the_rate() -> None:
    """With many callers, the rate is that of the slowest part: the engine's threads, or Redis' one thread."""
    cheap = replace(
        COSTS, web_text_s=1e-6, web_message_s=1e-5, worker_text_s=1e-6, worker_message_s=1e-5, engine_call_s=0.0
    )
    engine = closed(cheap, Layout(cores=8, threads=4), 512)
    assert engine.per_s == pytest.approx(4 / COSTS.engine_text_s, rel=0.1)
    slow_redis = replace(cheap, redis_text_s=1e-3, redis_message_s=0.0)
    assert closed(slow_redis, Layout(hosts=4, cores=8, threads=8), 256).per_s == pytest.approx(1000, rel=0.02)


def test_texts_gather_while_chunks_are_under_way() -> None:
    """A single text never waits for others; under load one message carries many texts, and there are never more
    messages than allowed.
    """
    lone, many = closed(COSTS, Layout(), 1), closed(COSTS, Layout(), 256)
    assert lone.answered / lone.messages == pytest.approx(1, abs=0.02)
    assert many.answered / many.messages > 20
    system = System(COSTS, Layout(web=4, workers=1))
    seen = []

    def look() -> None:
        worker = system._workers[0]
        seen.append((len(system.queue), INTERACTIVE.threads - worker.free, worker._calls))
        system.clock.after(0.001, look)

    look()
    system.closed(256, 1.0)
    assert max(queued + held for queued, held, _ in seen) <= 4, "one for each web process"
    assert max(calls for *_, calls in seen) <= ENGINE_CALLS


def test_cores_are_shared_equally() -> None:
    """Two tasks on one core take twice as long, and longer if a third joins them; one task on two cores takes its own
    time; a server does one task after another.
    """
    ends: dict[str, float] = {}
    clock = Clock()

    def note(name: str) -> None:
        ends[name] = clock.now

    one, two = Cores(clock, 1), Cores(clock, 2)
    one.start(1.0, lambda: note("short"))
    one.start(2.0, lambda: note("long"))
    # It joins when the other two have run for half a second each.
    clock.after(1.0, lambda: one.start(0.5, lambda: note("third")))
    two.start(1.0, lambda: note("alone"))
    server = Server(Cores(clock, 2))
    server.do(1.0, lambda: note("first"))
    server.do(1.0, lambda: note("second"))
    clock.run(10)
    assert ends == pytest.approx({"short": 2.5, "third": 2.5, "long": 3.5, "alone": 1, "first": 1, "second": 2})


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0.5, 1), st.floats(0.001, 0.4))
def test_costs_of_a_text_and_of_a_message_are_told_apart(text: float, message: float, many: float, few: float) -> None:
    """From two loads with different numbers of texts per message, both costs are recovered."""
    found = scaling.divided((text + many * message, text + few * message), (many, few))
    assert found == pytest.approx((text, message), abs=1e-6)


def test_no_cost_is_negative() -> None:
    """If noise makes an answer more expensive under load, the whole cost is that of the text, and none is negative."""
    assert scaling.divided((1.0, 2.0), (1.0, 0.1)) == (2.0, 0.0)


def test_processor_time_of_a_thread() -> None:
    """Work is found in the thread that does it, also if a thread's name has blanks and brackets."""
    assert scaling.ticks("7 (a (b) c) S 1 7 7 0 -1 4194560 300 0 0 0 11 4 0 0 20 0 1 0 5 6 7") == 15
    tids: list[int] = []

    def work() -> None:
        tids.append(threading.get_native_id())
        before = scaling.threads(os.getpid())[tids[0]]
        while scaling.threads(os.getpid())[tids[0]] < before + 0.05:
            sum(range(10_000))

    thread = threading.Thread(target=work)
    before = scaling.threads(os.getpid())
    thread.start()
    thread.join()
    assert tids[0] not in before


def record(load: str, turn: int, **figures: object) -> scaling.Record:
    """A measurement as the benchmark stores it."""
    layout = {"layout": scaling.BASE, "web": 2, "workers": 1, "threads": 2, "others_cores": 0.5}
    return {**layout, "load": load, "round": turn, **figures}


def test_measured_loads_become_costs_and_are_checked() -> None:
    """Costs are fitted only to the loads of 1 and 32 callers, and the simulation's results are shown beside the
    measured ones.
    """
    truth = replace(COSTS, caller_text_s=20e-6)
    records = []
    for load, messages in (("uncached, 1", 1.0), ("uncached, 32", 0.125), ("uncached, 256", 0.02)):
        cost = {
            "web": truth.web_text_s + messages * truth.web_message_s,
            "Redis": truth.redis_text_s + messages * truth.redis_message_s,
            "worker": truth.worker_text_s + messages * truth.worker_message_s,
            "engine": truth.engine_text_s + messages * truth.engine_call_s,
            "callers": truth.caller_text_s,
        }
        per_answer = {
            "messages": messages,
            "calls": messages,
            "Redis: commands": 9.0,
            "Redis: bytes in": 900.0,
            "Redis: bytes out": 300.0,
        }
        cost_us = {part: 1e6 * cost.get(part, 0.0) for part in scaling.PARTS}
        records += [
            record(load, turn, cost_us=cost_us, per_answer=per_answer, answers_per_s=1000.0, p50_ms=50.0, other={})
            for turn in range(2)
        ]
    costs = scaling.fitted(records, scaling.BASE)
    assert astuple(costs) == pytest.approx(astuple(truth))
    rows = scaling.checked(records, costs)
    assert [(each["load"], each["what"]) for each in rows][-1] == ("uncached, 256", "p50_ms")
    for each in rows:
        assert each["error"] == pytest.approx(each["simulated"] / each["measured"] - 1)
    assert "| uncached, 256 " in scaling.summary(records, costs, [])


def test_the_document_says_what_was_measured() -> None:
    """The costs, the check and the table of hosts in docs/scaling.md are those of docs/scaling.json, and fitting again
    gives the same.
    """
    text, kept = ((ROOT / "docs" / name).read_text() for name in ("scaling.md", "scaling.json"))
    found = json.loads(kept)
    records = found["records"]
    assert asdict(scaling.fitted(records, scaling.BASE)) == pytest.approx(found["costs"])
    for load, title in (
        ("uncached, 1", "unknown, 1"),
        ("uncached, 32", "unknown, 32"),
        ("uncached, 256", "unknown, 256"),
    ):
        costs = (
            scaling.median(records, scaling.BASE, load, "cost_us", part)
            for part in ("web", "worker", "engine", "Redis")
        )
        assert f"| {title} | " + " | ".join(f"{cost:,.0f}" for cost in costs) in text
    for each in found["checked"]:
        if each["layout"] == scaling.BASE and each["what"] == "answers_per_s" and each["load"] != "uncached, 1":
            cells = f"{each['measured']:,.0f} | {each['simulated']:,.0f} | {100 * each['error']:+.0f} %"
            assert cells in text
    for small, large in zip(found["hosts"][:5], found["hosts"][5:], strict=True):
        row = next(
            line for line in text.splitlines() if line.startswith(f"| {small['hosts']} | ") and line.count("|") == 8
        )
        told = [float(cell.strip(" %").replace(",", "")) for cell in row.split("|")[2:8]]
        real = [
            value for each in (small, large) for value in (each["answers_per_s"], each["p50_ms"], 100 * each["redis"])
        ]
        assert told == pytest.approx(real, rel=0.01, abs=0.6)
