"""The rounds of a run: each scenario is put to each system in turn, and some of the answers are checked."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmarks.bench import machine
from benchmarks.bench.load import Measured, batches, percentiles, settle, wrk
from benchmarks.bench.raw import THREADS, RawEngine
from benchmarks.bench.systems import System
from benchmarks.bench.texts import Texts, write_lines, zipf
from benchmarks.services import Answer, Callers, StartFailed

_CHECKED = 5
"""At least this many answers of each run are compared with the engine's."""
_CACHING = ("Sentiq", "baseline")
_RIVALS = ("LitServe", "infinity")


@dataclass(frozen=True)
class Plan:
    """The size of a run."""

    rounds: int = 3
    seconds: int = 3
    """The length of the shortest load."""
    known: int = 1000
    job: int = 50_000
    job_rounds: int = 1
    bulk_s: float = 20.0
    starts: int = 2
    rivals_everywhere: bool = True
    """Whether LitServe and infinity run every scenario that they can, or only the one at 32 connections."""
    start_limit_s: float = 180.0


QUICK = Plan(rounds=1, seconds=1, known=200, job=3_000, job_rounds=1, bulk_s=3.0, starts=1, rivals_everywhere=False)


@dataclass(frozen=True)
class Scenario:
    """One load that several systems get."""

    kind: str
    connections: int
    systems: tuple[str, ...]
    lengths: int
    """How many times longer than the shortest: a slow system takes seconds for its first answers to many callers."""


SCENARIOS = (
    *(Scenario("cached", connections, (*_CACHING, "bare WSGI"), 1) for connections in (1, 32, 256)),
    Scenario("uncached", 1, (*_CACHING, *_RIVALS), 2),
    Scenario("uncached", 32, (*_CACHING, *_RIVALS), 2),
    Scenario("uncached", 256, (*_CACHING, *_RIVALS), 3),
    Scenario("Zipf", 32, _CACHING, 2),
    Scenario("batch of 10", 8, (*_CACHING, "infinity"), 3),
)


class Bench:
    """One run: the systems, which are all up, and the measurements so far."""

    scenarios = SCENARIOS
    in_two_minds = 0.2
    """If the int8 engine's two highest scores differ by less, an fp32 system may answer the other label."""
    rounding = 0.0
    """If they differ by less, Sentiq may too, because int8 rounds otherwise in batches of other shapes."""

    def __init__(self, plan: Plan, texts: Texts, folder: Path) -> None:
        self.plan, self.texts, self.folder = plan, texts, folder
        self.records: list[dict[str, Any]] = []
        self.absent: dict[str, str] = {}
        self.systems: dict[str, System] = {}

    @cached_property
    def raw(self) -> RawEngine:
        """The compiled engine in a process of its own, started when it is first asked for."""
        return RawEngine()

    def note(self, scenario: str, system: str, turn: int, **measured: Any) -> None:
        """Stores a measurement and prints it."""
        self.records.append({"scenario": scenario, "system": system, "round": turn, **measured})
        wrong = "; VOID" if measured.get("wrong") else ""
        shown = ", ".join(f"{name} {value:,.1f}" for name, value in measured.items() if isinstance(value, float))
        print(f"  round {turn + 1}, {scenario}, {system}: {shown}{wrong}", flush=True)

    def start(self, factories: dict[str, Callable[[Path], System]]) -> None:
        """Starts each system so many times, in turn; the last ones stay up."""
        for turn, (name, make) in itertools.product(range(self.plan.starts), factories.items()):
            if name in self.absent:
                continue
            self.systems[name] = system = make(self.folder / f"{name}-{turn}".replace(" ", "-"))
            try:
                seconds = system.start(partial(self.answers, system), self.plan.start_limit_s)
            except StartFailed as error:
                if name in ("Sentiq", "baseline", "bare WSGI"):
                    raise
                del self.systems[name]
                self.absent[name] = f"does not start: {str(error).splitlines()[-1][:200]}"
                continue
            self.note("cold start", name, turn, seconds=seconds)
            if turn < self.plan.starts - 1:
                system.close()
            else:
                system.rest()

    def answers(self, system: System) -> bool:
        """Whether it predicts."""
        with contextlib.closing(system.connect()) as connection:
            return system.predict(connection, self.texts.take(1)[0]).status == 200

    def judged(self, system: System, answers: list[tuple[str, Answer]], cached: bool | None) -> dict[str, int]:
        """How many answers were checked, and how many of these have a wrong label or came from the cache when they
        should not.
        """
        good = [(text, answer) for text, answer in answers[:200] if answer.status == 200]
        meaning = self.raw.meaning if system.own_labels else {}
        if not good or system.name == "bare WSGI" or meaning is None:
            return {"checked": 0, "wrong": 0}
        wrong = 0
        doubt = self.rounding if system.exact else self.in_two_minds
        for (_, answer), (label, margin) in zip(good, self.raw.labels([text for text, _ in good]), strict=True):
            mislabelled = meaning.get(str(answer.label), answer.label) != label and margin > doubt
            wrong += mislabelled or (cached is not None and answer.cached not in (None, cached))
        return {"checked": len(good), "wrong": wrong}

    def one(self, scenario: Scenario, system: System, known: list[str], stream: Path) -> Measured:
        """Runs one scenario on one system."""
        seconds, connections = scenario.lengths * self.plan.seconds, scenario.connections
        if scenario.kind == "batch of 10":
            fresh = self.texts.fresh()
            source = (
                known[i % len(known) : i % len(known) + 4] + list(itertools.islice(fresh, 6))
                for i in itertools.count(0, 4)
            )
            measured, answers = batches(system, source, connections, seconds)
            return measured | self.judged(system, answers, None)
        file, start, cached = stream, None, None
        asked: Iterator[str] = itertools.cycle(known)
        if scenario.kind == "cached":
            file, cached = self.folder / "known", True
        elif scenario.kind == "uncached":
            asked, file, cached = iter(self.texts.take(20 * seconds + 100)), self.folder / "plain", False
            start = self.texts.number
        # A few texts are sent during the load to check the answers; if there is only one caller, afterwards.
        with Callers(system, asked, int(connections > 1), 5.0) as witness:
            measured = wrk(system, connections, seconds, file, start)
        if start is not None:
            self.texts.number += measured["requests"] + connections
        connection = system.connect()
        texts = [next(asked) for _ in range(_CHECKED)]
        witness.answers += [(text, system.predict(connection, text)) for text in texts]
        connection.close()
        return measured | self.judged(system, witness.answers, cached)

    def turn(self, number: int) -> None:
        """Runs a round: every scenario, each on all its systems in turn."""
        known = self.texts.take(self.plan.known)
        write_lines(self.folder / "known", known)
        pool = self.texts.take(10_000)
        stream = write_lines(self.folder / "stream", [pool[rank] for rank in zipf(len(pool), 100_000, seed=number)])
        for name in _CACHING:
            self.systems[name].bulk(known, limit_s=600)
        self.engine_alone(number)
        self.loads(number, known, stream)
        if number < self.plan.job_rounds:
            for name in _CACHING:
                self.jobs(self.systems[name], number)

    def engine_alone(self, number: int) -> None:
        """Measures the engine without any service."""
        for threads in THREADS:
            sample = self.texts.take(4096)
            rate = self.raw.texts_per_s(sample, threads, self.plan.seconds)
            lone = self.raw.lone_ms(sample, threads, self.plan.seconds / 2)
            self.note(
                "raw engine",
                f"{threads} threads" if threads > 1 else "1 thread",
                number,
                answers_per_s=rate,
                lone_ms=lone,
            )

    def loads(self, number: int, known: list[str], stream: Path) -> None:
        """Puts every scenario to all its systems in turn."""
        for scenario in self.scenarios:
            left_out = () if self.plan.rivals_everywhere or scenario.connections == 32 else _RIVALS
            names = [name for name in scenario.systems if name in self.systems and name not in left_out]
            # The order changes each round, so that it does not matter which system comes after which.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                with self.systems[name].awake():
                    settle(self.systems[name])
                    measured = self.one(scenario, self.systems[name], known, stream)
                self.note(
                    f"{scenario.kind}, {scenario.connections}",
                    name,
                    number,
                    connections=scenario.connections,
                    **measured,
                )

    def jobs(self, system: System, number: int) -> None:
        """Measures many texts at once alone, then callers alone, then both together."""
        settle(system)
        texts = self.texts.take(self.plan.job)
        done, seconds, answers = system.bulk(texts, self.plan.bulk_s)
        judged = self.judged(system, list(zip(texts, answers, strict=False)), None)
        self.note("job", system.name, number, answers_per_s=done / seconds, texts=done, **judged)
        settle(system)
        with Callers(system, self.texts.fresh(), 4, 20.0) as idle:
            time.sleep(self.plan.bulk_s)
        self.note("callers alone", system.name, number, **_of(idle), **self.judged(system, idle.answers, False))
        texts = self.texts.take(self.plan.job)
        with Callers(system, self.texts.fresh(), 4, 20.0) as busy:
            done, seconds, _ = system.bulk(texts, self.plan.bulk_s)
        ratio = busy.p95_s / idle.p95_s
        judged = self.judged(system, busy.answers, False)
        self.note(
            "callers beside a job",
            system.name,
            number,
            **_of(busy),
            job_per_s=done / seconds,
            p95_ratio=ratio,
            **judged,
        )

    def sizes(self) -> None:
        """Measures the memory of each process, and the processor time that each idle system uses."""
        pause_s = float(self.plan.seconds)
        for name, system in self.systems.items():
            with system.awake():
                settle(system)
                before_s = system.cpu_s()
                time.sleep(pause_s)
                idle = 100 * (system.cpu_s() - before_s) / pause_s
            self.note("memory", name, 0, processes=machine.memory(system.pids()), idle_cpu_percent=idle)

    def close(self) -> None:
        """Ends everything."""
        for system in self.systems.values():
            system.close()
        if "raw" in vars(self):
            self.raw.close()


def _of(callers: Callers) -> Measured:
    other = {str(status): count for status, count in callers.statuses.items() if status != 200}
    return percentiles(callers.seconds) | {"requests": len(callers.seconds), "other": other}
