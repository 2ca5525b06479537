"""Simulates the rules of deploy/keda under the bursts of a show: `python -m benchmarks.autoscaling [--plot
docs/autoscaling.svg]`.

This is a pure simulation, in steps of a tenth of a second: Poisson arrivals with a fixed seed, workers that score at a
    constant rate, a Prometheus that scrapes at intervals, and Kubernetes' HorizontalPodAutoscaler as its documentation
    describes it, with the signals that KEDA gives it.
"""

from __future__ import annotations

import argparse
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tasks.submit.queue_limit import FILL

STEP_S = 0.1
MINUTE_S = 60
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Cluster:
    """The circumstances in which a rule works."""

    rate_per_s: float = 1000.0
    """Callers' texts that a worker with two processors scores in a second (README: 1,032, with the web on the same
    two).
    """
    job_rate_per_s: float = 1250.0
    """Lines of jobs that it scores in a second (README: 1,267)."""
    start_s: float = 7.0
    """From the decision until the worker is ready: 2 s measured for the process, 5 s assumed for Kubernetes if the node
    has the image.
    """
    scrape_s: float = 15.0
    sync_s: float = 15.0
    """The autoscaler's period (kube-controller-manager's default)."""
    web_processes: int = 8
    """Each has one chunk of callers' texts under way, so more workers than this have no work."""
    queue_limit: int = 4000
    """QUEUE_LIMIT, summed over two pods."""
    patience_s: float = 2.0
    """PREDICT_TIMEOUT: callers who have waited this long get 202, and their texts become jobs. No more may wait than
    are answered within the share FILL of it.
    """


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger of a ScaledObject."""

    signal: str
    """`age`: of the oldest chunk in Redis that no worker has begun. `work`: what waits, in seconds of all workers.
    `busy`: workers at work.
    """
    target: float
    per_worker: bool = True
    """Whether the signal is divided by the number of workers (AverageValue) or not (Value)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A ScaledObject; without triggers the number of workers is always `minimum`."""

    triggers: tuple[Trigger, ...] = ()
    minimum: int = 1
    maximum: int = 8
    stabilization_s: float = 120.0
    """Scaling down goes no further than to the most that was wanted in this time. Kubernetes' default is 300."""


class Autoscaler:
    """The HorizontalPodAutoscaler: the most that any trigger wants, with a tolerance and a stabilisation window; in 15
    s at most twice as many, or 4 more.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._wanted: deque[tuple[float, int]] = deque()

    def wants(self, now: float, signals: Mapping[str, float], replicas: int, ready: int) -> int:
        """Decides the number of replicas from now on."""
        rule = self._rule
        wanted = max(self._proposal(trigger, signals[trigger.signal], replicas, ready) for trigger in rule.triggers)
        wanted = min(rule.maximum, max(rule.minimum, wanted))
        self._wanted.append((now, wanted))
        while self._wanted[0][0] <= now - rule.stabilization_s:
            self._wanted.popleft()
        if wanted > replicas:
            return min(wanted, max(2 * replicas, replicas + 4))
        return min(replicas, max(most for _, most in self._wanted))

    def _proposal(self, trigger: Trigger, signal: float, replicas: int, ready: int) -> int:
        ratio = signal / trigger.target / (replicas if trigger.per_worker else 1)
        return (
            replicas
            if abs(ratio - 1) <= 0.1
            else math.ceil(signal / trigger.target if trigger.per_worker else ratio * ready)
        )


class Busy:
    """How many workers were at work on average over the last minute, as `rate(...[1m])` gives it."""

    def __init__(self) -> None:
        self._parts: deque[float] = deque([0.0] * round(MINUTE_S / STEP_S), maxlen=round(MINUTE_S / STEP_S))

    def add(self, workers: float) -> None:
        """Adds the busy workers of a step."""
        self._parts.append(workers)

    @property
    def mean(self) -> float:
        """The average number of busy workers."""
        return sum(self._parts) / len(self._parts)


class Callers:
    """The texts of waiting callers, the oldest first. They wait in the web processes, not in Redis."""

    def __init__(self, cluster: Cluster, per_s: Sequence[float], seed: int) -> None:
        self._cluster = cluster
        self._arrivals = np.random.default_rng(seed).poisson(np.repeat(np.asarray(per_s) * STEP_S, round(1 / STEP_S)))
        self._texts: deque[list[float]] = deque()
        self._credit = 0.0
        self._busy = Busy()
        self.counts = dict.fromkeys(("arrived", "answered", "late", "refused"), 0)
        self.told_s: set[int] = set()
        """The seconds in which a caller got 202 or 429."""

    @property
    def waiting(self) -> int:
        """The number of texts that wait."""
        return int(sum(count for _, count in self._texts))

    def step(self, now: float, ready: int) -> float:
        """Lets texts come, leave and be scored; returns how many came."""
        came = int(self._arrivals[round(now / STEP_S)])
        rate_per_s = min(ready, self._cluster.web_processes) * self._cluster.rate_per_s
        # While no worker is ready the waiting time is unknown, so as many texts wait as there is room for.
        patient = FILL * self._cluster.patience_s * rate_per_s if ready else math.inf
        room = max(0, min(came, int(min(self._cluster.queue_limit, patient)) - self.waiting))
        self.counts["arrived"] += came
        self.counts["refused"] += came - room
        if came > room:
            self.told_s.add(int(now))
        if room:
            self._texts.append([now, room])
        while self._texts and now - self._texts[0][0] > self._cluster.patience_s:
            self.counts["late"] += int(self._texts.popleft()[1])
            self.told_s.add(int(now))
        # Unused time of a step is lost, except for the fraction of a text.
        self._credit = self._credit % 1 + rate_per_s * STEP_S
        before = self.counts["answered"]
        while self._texts and self._credit >= 1:
            scored = int(min(self._texts[0][1], self._credit))
            self._credit -= scored
            self._texts[0][1] -= scored
            self.counts["answered"] += scored
            if not self._texts[0][1]:
                self._texts.popleft()
        self._busy.add((self.counts["answered"] - before) / self._cluster.rate_per_s / STEP_S)
        return came

    def age(self, now: float) -> float:
        """How long the oldest text has waited, in seconds."""
        return now - self._texts[0][0] if self._texts else 0.0

    def signals(self, now: float, ready: int) -> dict[str, float]:
        """The signals that a scrape finds."""
        # A worker takes six chunks at once, each a quarter of a second's work. Of one chunk for each web process, this
        # many wait in Redis:
        chunks = max(0, self._cluster.web_processes - 6 * ready) if self.waiting else 0
        age = chunks * 0.25 / max(1, ready)
        return {"age": age, "work": self.waiting / self._cluster.rate_per_s / max(1, ready), "busy": self._busy.mean}


class Jobs:
    """Jobs of many lines, cut into chunks of half a second, a few of each in the queue at once."""

    CHUNK_S = 0.5
    WINDOW = 4

    def __init__(self, cluster: Cluster, lines: dict[float, Sequence[int]]) -> None:
        self._size = round(cluster.job_rate_per_s * self.CHUNK_S)
        self._coming = {second: [math.ceil(count / self._size) for count in counts] for second, counts in lines.items()}
        self._left: dict[int, int] = {}
        self._begun: dict[int, float] = {}
        self._queue: deque[tuple[float, int]] = deque()
        self._credit = 0.0
        self._busy = Busy()
        self.counts = {"arrived": 0, "done": 0}
        self.took_s: list[float] = []

    @property
    def waiting(self) -> int:
        """The number of chunks that are not done."""
        return self.counts["arrived"] - self.counts["done"]

    def step(self, now: float, ready: int) -> float:
        """Lets jobs come and chunks be done; returns how many lines came."""
        came = self._coming.pop(round(now, 1), []) if round(now, 1) in self._coming else []
        for chunks in came:
            job = len(self._begun)
            self._begun[job], self._left[job] = now, chunks
            sent = min(chunks, max(self.WINDOW, 2 * ready))
            self._left[job] -= sent
            self._queue.extend([(now, job)] * sent)
        self.counts["arrived"] += sum(came)
        self._credit = min(ready, self._credit % 1 + ready * STEP_S / self.CHUNK_S)
        before = self.counts["done"]
        while self._queue and self._credit >= 1:
            _, job = self._queue.popleft()
            self._credit -= 1
            self.counts["done"] += 1
            if self._left[job]:
                self._left[job] -= 1
                self._queue.append((now, job))
            elif all(other != job for _, other in self._queue):
                self.took_s.append(now - self._begun[job])
        self._busy.add((self.counts["done"] - before) * self.CHUNK_S / STEP_S)
        return float(sum(came) * self._size)

    def age(self, now: float) -> float:
        """The age in seconds of the oldest chunk that no worker has begun."""
        return now - self._queue[0][0] if self._queue else 0.0

    def signals(self, now: float, ready: int) -> dict[str, float]:
        """The signals that a scrape finds; workers hold the first chunks."""
        begun = min(ready, len(self._queue))
        return {"age": now - self._queue[begun][0] if len(self._queue) > begun else 0.0, "busy": self._busy.mean}


@dataclass(slots=True)
class Run:
    """The result of a rule, for each second and in total."""

    rule: Rule
    load: Callers | Jobs
    seconds: list[float] = field(default_factory=list)
    came: list[float] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)

    @property
    def worker_hours(self) -> float:
        """The hours of all workers, including those that are starting."""
        return sum(self.workers) / HOUR_S


def simulate(cluster: Cluster, rule: Rule, load: Callers | Jobs, seconds: int = HOUR_S) -> Run:
    """Simulates a load under a rule."""
    run, scaler = Run(rule, load), Autoscaler(rule)
    ready_at = [0.0] * rule.minimum
    scraped: dict[str, float] = {}
    came = 0.0
    per_second, scrape, sync = (round(s / STEP_S) for s in (1.0, cluster.scrape_s, cluster.sync_s))
    for i in range(round(seconds / STEP_S)):
        now = i * STEP_S
        ready = sum(at <= now for at in ready_at)
        came += load.step(now, ready)
        if i % scrape == 0:
            scraped = load.signals(now, ready)
        # Half a period after a scrape: neither the best case nor the worst.
        if rule.triggers and i % sync == sync // 2:
            wanted = scaler.wants(now, scraped, len(ready_at), ready)
            ready_at = sorted(ready_at)[:wanted] + [now + cluster.start_s] * (wanted - len(ready_at))
        if i % per_second == 0:
            run.seconds.append(now)
            run.came.append(came)
            run.workers.append(len(ready_at))
            run.ages.append(load.age(now))
            came = 0.0
    return run


_MOMENTS = ((600, 840), (1200, 1260), (1800, 2700))
"""The bursts: from second, until second."""


def show(seconds: int = HOUR_S, quiet: float = 500.0, spike: float = 5000.0) -> list[float]:
    """Unknown texts in each second of a quiet show with three bursts of ten times as many, for 4, 1 and 15 minutes,
    each rising within 5 seconds.
    """
    more = spike - quiet
    moments = [
        np.interp(range(seconds), [since, since + 5, until, until + 30], [0, more, more, 0])
        for since, until in _MOMENTS
    ]
    return [quiet + float(sum(at)) for at in zip(*moments, strict=True)]


FILES: dict[float, Sequence[int]] = {300.0: [600_000], 1200.0: [300_000] * 3, 2400.0: [60_000] * 10}
"""The jobs of an hour: the second of submission, and the lines of each job."""

AGE, WORK, BUSY = Trigger("age", 0.5, per_worker=False), Trigger("work", 0.5, per_worker=False), Trigger("busy", 0.7)
INTERACTIVE = Rule((WORK, BUSY, AGE), minimum=2)
BATCH = Rule((AGE, replace(BUSY, target=1.0)))
"""The rules of deploy/keda; a test compares them."""


def callers_table(cluster: Cluster, seed: int) -> list[tuple[str, Run]]:
    """Compares rules and clusters for /predict."""
    cases = [
        ("1 worker", cluster, Rule()),
        ("2 workers", cluster, Rule(minimum=2)),
        ("8 workers", cluster, Rule(minimum=8)),
        ("age of the queue alone", cluster, replace(INTERACTIVE, triggers=(AGE,))),
        ("work that waits alone", cluster, replace(INTERACTIVE, triggers=(WORK,))),
        ("busy workers alone", cluster, replace(INTERACTIVE, triggers=(BUSY,))),
        ("all three, at least 2: **shipped**", cluster, INTERACTIVE),
        ("- at least 1", cluster, replace(INTERACTIVE, minimum=1)),
        ("- at least 4", cluster, replace(INTERACTIVE, minimum=4)),
        ("- scraped every 5 s", replace(cluster, scrape_s=5.0), INTERACTIVE),
        ("- 60 s to start: a new node", replace(cluster, start_s=60.0), INTERACTIVE),
        ("- scales down after 300 s", cluster, replace(INTERACTIVE, stabilization_s=300.0)),
        ("- scales down after 30 s", cluster, replace(INTERACTIVE, stabilization_s=30.0)),
    ]
    return [(name, simulate(where, rule, Callers(where, show(), seed))) for name, where, rule in cases]


def jobs_table(cluster: Cluster) -> list[tuple[str, Run]]:
    """Compares rules for jobs."""
    cases = [
        ("1 worker", Rule()),
        ("8 workers", Rule(minimum=8)),
        ("age of the queue alone", replace(BATCH, triggers=(AGE,))),
        ("age and busy workers: **shipped**", BATCH),
        ("- age of 1 s", replace(BATCH, triggers=(replace(AGE, target=1.0), BATCH.triggers[1]))),
        (
            "- age divided among the workers",
            replace(BATCH, triggers=(replace(AGE, per_worker=True), BATCH.triggers[1])),
        ),
        ("- scales down after 300 s", replace(BATCH, stabilization_s=300.0)),
    ]
    return [(name, simulate(cluster, rule, Jobs(cluster, FILES))) for name, rule in cases]


def report(cluster: Cluster, seed: int) -> tuple[str, Run, Run]:
    """Both tables as Markdown, and the runs of the shipped rules."""
    lines = [
        "| `/predict`: workers by | 200, % | 202, % | 429, % | seconds with either | worker hours |",
        "|---|---|---|---|---|---|",
    ]
    shipped: list[Run] = []
    for name, run in callers_table(cluster, seed):
        assert isinstance(run.load, Callers)
        counts = run.load.counts
        shares = " | ".join(f"{100 * counts[key] / counts['arrived']:.1f}" for key in ("answered", "late", "refused"))
        lines.append(f"| {name} | {shares} | {len(run.load.told_s)} | {run.worker_hours:.1f} |")
        shipped += [run] if "shipped" in name else []
    lines += [
        "",
        "| jobs: workers by | longest job, s | mean job, s | oldest chunk, s | worker hours |",
        "|---|---|---|---|---|",
    ]
    for name, run in jobs_table(cluster):
        assert isinstance(run.load, Jobs)
        took = run.load.took_s
        ended = f"{max(took):.0f} | {sum(took) / len(took):.0f}" if not run.load.waiting else "not done | "
        lines.append(f"| {name} | {ended} | {max(run.ages):.1f} | {run.worker_hours:.1f} |")
        shipped += [run] if "shipped" in name else []
    return "\n".join(lines), shipped[0], shipped[1]


def plot(callers: Run, jobs: Run, file: Path) -> None:
    """Draws arrivals, workers and age over time as SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "sentiq", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3, "font.size": 9}
    )
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 2, figsize=(10, 6), sharex=True, layout="constrained")
    for column, (run, title) in enumerate(((callers, "callers of /predict"), (jobs, "jobs"))):
        arrivals = run.came if column == 0 else np.cumsum(run.came).tolist()
        minutes, came, workers, ages = (
            series[::5] for series in ([s / MINUTE_S for s in run.seconds], arrivals, run.workers, run.ages)
        )
        axes[0][column].plot(minutes, came, linewidth=0.8, color="#444444")
        axes[0][column].set(title=title, ylabel="unknown texts a second" if column == 0 else "lines submitted so far")
        axes[1][column].step(minutes, workers, where="post", color="#0b5fa5")
        axes[1][column].set(ylabel="workers", ylim=(0, run.rule.maximum + 0.5))
        axes[2][column].plot(minutes, ages, linewidth=0.8, color="#c4501b")
        axes[2][column].set(ylabel="oldest waiting, s", xlabel="minutes", ylim=(0, None))
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables; with --plot, draws the shipped rules' runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscaling", description=__doc__)
    parser.add_argument(
        "--rate", type=float, default=Cluster().rate_per_s, help="texts of callers that a worker scores in a second"
    )
    parser.add_argument(
        "--start", type=float, default=Cluster().start_s, help="seconds from the decision to a worker that is ready"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="an SVG file to write")
    given = parser.parse_args(arguments)
    tables, callers, jobs = report(Cluster(rate_per_s=given.rate, start_s=given.start), given.seed)
    print(tables)
    if given.plot:
        plot(callers, jobs, given.plot)


if __name__ == "__main__":
    main()
