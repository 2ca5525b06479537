"""Measures what an answer costs in each part, and what more of a part gains: `python -m benchmarks.scaling --data
FILE.tsv.gz`. Takes six minutes.

It starts Sentiq in several layouts, runs short loads, and reads the processor time of each part before and after
(/proc/PID/stat). On a machine that others use too, processor time per answer is stable, while throughput is not. It
writes docs/scaling.json, which docs/scaling.md explains, and checks `benchmarks.queueing` against one measured point.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benchmarks import queueing
from benchmarks.bench.load import settle, wrk
from benchmarks.bench.machine import facts
from benchmarks.bench.report import table
from benchmarks.bench.systems import Sentiq
from benchmarks.bench.texts import Texts, write_lines
from benchmarks.queueing import Costs, Layout
from benchmarks.services import ROOT, free_port
from tasks.store.cache import PredictionCache
from tasks.store.connections import connect
from tasks.store.embedded import find_server, wait_until_up
from tasks.store.outcomes import Scored, digest
from tasks.store.presence import Presence

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KINDS = {
    "gunicorn": "web",
    "tasks.worker interactive": "worker",
    "tasks.worker batch": "batch worker",
    "valkey-server": "Redis",
    "redis-server": "Redis",
}
REDIS_ROLES = {"cache": "REDIS_URL", "broker": "CELERY_BROKER_URL", "results": "CELERY_RESULT_BACKEND"}
PARTS = ("web", "worker", "engine", "Redis", "batch worker", "batch engine", "callers")
"""`engine`: the interactive worker's engine threads; `worker`: the rest of it; `callers`: the load generator."""
Record = dict[str, Any]
Usage = dict[str, float]
"""Processor seconds by part."""


def ticks(stat: str) -> int:
    """utime + stime of a /proc/.../stat, in which the name in brackets may contain anything."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def threads(pid: int) -> dict[int, float]:
    """Processor seconds of each thread of a process."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            found[int(task.name)] = ticks((task / "stat").read_text()) / _TICKS_PER_S
    return found


def machine_busy_s() -> float:
    """Seconds in which cores were busy, or were taken from this machine by its host, since it started."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def quiet(limit_s: float, below: float = 0.2) -> None:
    """Waits until others use less than so many cores, at most for so long."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        before_s, began = machine_busy_s(), time.monotonic()
        time.sleep(0.5)
        if (machine_busy_s() - before_s) / (time.monotonic() - began) < below:
            return


class Parts(Sentiq):
    """A Sentiq whose parts are measured separately."""

    def __init__(self, folder: Path, layout: Layout, *, tcp: bool = False) -> None:
        """`tcp`: cache, broker and results each have a server, reached over TCP as on other hosts; else the embedded
        server is used, with its unix socket.
        """
        self.layout, self._ports = layout, {role: free_port() for role in REDIS_ROLES} if tcp else {}
        settings = {"WEB_CONCURRENCY": str(layout.web), "ENGINE_THREADS": str(layout.threads)}
        self._urls = {role: f"redis://127.0.0.1:{port}/0" for role, port in self._ports.items()}
        settings |= {REDIS_ROLES[role]: url for role, url in self._urls.items()}
        super().__init__(folder, **settings)
        self._urls = self._urls or {"cache": f"unix://{folder / 'valkey.sock'}?db=0"}
        self._clients: dict[str, Any] = {role: connect(url, timeout_s=5.0) for role, url in self._urls.items()}
        self.client = self._clients["cache"]
        self._engine_threads: dict[int, set[int]] = {}
        self.idle: Usage = {}

    def up(self) -> None:
        """Starts it with all workers, and finds out which threads are the engine's."""
        for role, port in self._ports.items():
            (folder := self.folder / role).mkdir()
            options = {
                "port": port,
                "bind": "127.0.0.1",
                "dir": folder,
                "save": "",
                "appendonly": "no" if role == "cache" else "yes",
            }
            self._run(
                [str(find_server()), *(word for name, value in options.items() for word in (f"--{name}", str(value)))],
                {},
            )
            wait_until_up(self._urls[role], timeout_s=10)
        self.start(self.is_ready)
        # `make run` starts one worker of each role; further ones are started here.
        more = self.environment() | {"PROMETHEUS_MULTIPROC_DIR": str(self.folder / "metrics")}
        for _ in range(self.layout.workers - 1):
            self._run([sys.executable, "-m", "tasks.worker", "interactive"], more)
        until = time.monotonic() + 60
        presence = Presence(self.client)
        while sum(mark.role == "interactive" for mark in presence.ready()) < self.layout.workers:
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.1)
        # Warming up has used only the engine's threads: except for the first one, Python's own threads begin when there
        # is work.
        for kind, pid in self._processes_by_kind():
            if kind in ("worker", "batch worker"):
                self._engine_threads[pid] = {
                    tid for tid, seconds in threads(pid).items() if tid != pid and seconds > 0.1
                }
        settle(self)
        before, began = self.usage(), time.monotonic()
        time.sleep(3)
        self.idle = {part: used / (time.monotonic() - began) for part, used in _less(self.usage(), before).items()}

    def _run(self, argv: list[str], variables: dict[str, str]) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "SENTIQ_PARENT"} | variables
        self._processes.append(
            subprocess.Popen(
                argv, cwd=ROOT, env=environment, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
            )
        )

    def _processes_by_kind(self) -> Iterator[tuple[str, int]]:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                kind = next((kind for mark, kind in _KINDS.items() if mark in words), None)
                if kind is not None:
                    yield kind, pid

    def usage(self) -> Usage:
        """The processor seconds used so far."""
        found: Usage = dict.fromkeys((*PARTS, *(f"Redis, {role}" for role in self._ports)), 0.0)
        for kind, pid in self._processes_by_kind():
            if kind == "Redis":
                used_s = threads(pid)[pid]  # the thread that runs commands; others write to the disk
                found[kind] += used_s
                for role, port in self._ports.items():
                    if f":{port}" in Path(f"/proc/{pid}/cmdline").read_text():
                        found[f"Redis, {role}"] += used_s
                continue
            with contextlib.suppress(OSError):
                used_s = ticks(Path(f"/proc/{pid}/stat").read_text()) / _TICKS_PER_S
                engine_s = sum(
                    seconds for tid, seconds in threads(pid).items() if tid in self._engine_threads.get(pid, ())
                )
                found[kind] += used_s - engine_s
                if kind != "web":
                    found["engine" if kind == "worker" else "batch engine"] += engine_s
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        found["callers"] = own.ru_utime + own.ru_stime
        return found

    def counts(self) -> dict[str, float]:
        """Messages, calls of the engine, texts scored, and bytes into and out of Redis, from the metrics and from
        Redis.
        """
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        sums: dict[str, float] = defaultdict(float)
        for family in families:
            for sample in family.samples:
                sums[sample.name] += sample.value
        counted = {
            "messages": sums["sentiment_chunk_texts_count"],
            "calls": sums["sentiment_call_texts_count"],
            "scored": sums["sentiment_texts_scored_total"],
        }
        for role, client in self._clients.items():
            stats, name = client.info("stats"), f"Redis, {role}" if self._ports else "Redis"
            counted[f"{name}: bytes in"] = stats["total_net_input_bytes"]
            counted[f"{name}: bytes out"] = stats["total_net_output_bytes"]
            counted[f"{name}: commands"] = stats["total_commands_processed"]
        return counted

    def http_bytes(self, texts: Sequence[str]) -> tuple[float, float]:
        """The average bytes of a request and of its answer, headers included."""
        sizes = []
        with contextlib.closing(self.connect()) as connection:
            for text in texts:
                body = json.dumps({"text": text}).encode()
                connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                head = (
                    sum(len(name) + len(value) + 4 for name, value in answer.getheaders()) + len("HTTP/1.1 200 OK") + 4
                )
                asked = (
                    len(body)
                    + len(
                        f"POST /predict HTTP/1.1Host: 127.0.0.1:{self.port}Content-Length: 99"
                        "Content-Type: application/json"
                    )
                    + 10
                )
                sizes.append((asked, head + len(answer.read())))
        asked_bytes, answer_bytes = zip(*sizes, strict=True)
        return statistics.fmean(asked_bytes), statistics.fmean(answer_bytes)

    def remember(self, texts: Sequence[str]) -> None:
        """Puts predictions for these texts into the cache, as a worker would."""
        identity = next(mark.model for mark in Presence(self.client).ready() if mark.role == "interactive")
        cache = PredictionCache(self.client, ttl_s=3600)
        for start in range(0, len(texts), 1000):
            some = {digest(text): Scored((0.1, 0.2, 0.7), False) for text in texts[start : start + 1000]}
            cache.settle(identity, "default@-", some)


def _less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}


@dataclass
class Run:
    """All measurements, one after the other."""

    texts: Texts
    folder: Path
    seconds: int
    patience_s: float
    """How long a load waits for other programs on this machine to be quiet."""
    records: list[Record]

    def load(self, system: Parts, name: str, title: str, turn: int, connections: int) -> None:
        """Runs one load; returns what it used in each part, less what an idle part uses."""
        known = self.folder / f"known-{title}"
        if name == "cached":
            write_lines(known, known_texts := self.texts.take(500))
            system.remember(known_texts)
            wrk(system, connections, 1, known, None)  # puts them into each web process's memory
        elif name == "cached in Redis":
            write_lines(known, known_texts := self.texts.take(12_000 * self.seconds))
            system.remember(known_texts)
        settle(system)
        quiet(self.patience_s)
        used, counted, busy_s, began = system.usage(), system.counts(), machine_busy_s(), time.monotonic()
        if name == "job":
            answered, seconds, _ = system.bulk(self.texts.take(1500 * self.seconds), 60)
            measured: Record = {"answers_per_s": answered / seconds, "other": {}}
            sent = answered
        else:
            file, start = (self.folder / "plain", self.texts.number) if name == "uncached" else (known, None)
            measured = wrk(system, connections, self.seconds, file, start)
            # Texts whose callers had left at the end were scored too.
            sent = measured["requests"] + (connections if start is not None else 0)
            if start is not None:
                self.texts.number += sent
            assert name != "cached in Redis" or sent < 12_000 * self.seconds, "some were asked twice"
        busy_s, elapsed_s = machine_busy_s() - busy_s, time.monotonic() - began
        ours = sum(used_s for part, used_s in _less(system.usage(), used).items() if part in PARTS)
        settle(system)
        whole_s = time.monotonic() - began
        spent = _less(system.usage(), used)
        counted = _less(system.counts(), counted)
        self.records.append(
            {
                "layout": title,
                **asdict(system.layout),
                "load": f"{name}, {connections}" if connections else name,
                "round": turn,
                **measured,
                "cost_us": {part: 1e6 * max(0.0, spent[part] - system.idle[part] * whole_s) / sent for part in spent},
                "per_answer": {each: count / sent for each, count in counted.items()},
                "others_cores": (busy_s - ours) / elapsed_s,
            }
        )
        shown = ", ".join(f"{part} {cost:,.0f}" for part, cost in self.records[-1]["cost_us"].items() if cost > 1)
        rate, others = measured["answers_per_s"], self.records[-1]["others_cores"]
        print(
            f"  {title}, {self.records[-1]['load']}, round {turn + 1}: {rate:,.0f}/s; us: {shown}; others {others:.2f}",
            flush=True,
        )

    def layout(
        self, title: str, layout: Layout, loads: Sequence[tuple[str, int]], rounds: int, *, tcp: bool = False
    ) -> None:
        """Starts a layout, runs the loads in turn, and ends it."""
        system = Parts(self.folder / title.replace(" ", "-"), layout, tcp=tcp)
        try:
            system.up()
            self.records.append(
                {"layout": title, "load": "idle", "cost_us": {part: 1e6 * used for part, used in system.idle.items()}}
            )
            self.records[-1]["http_bytes"] = system.http_bytes(self.texts.take(200))
            # The first requests include the cost of imports and connections.
            wrk(system, 32, 1, self.folder / "plain", self.texts.number)
            self.texts.number += 10_000
            for turn in range(rounds):
                for name, connections in loads:
                    self.load(system, name, title, turn, connections)
        finally:
            system.close()


def median(records: Sequence[Record], layout: str, load: str, *path: str) -> float:
    """The median of a figure over the rounds."""
    found = []
    for each in records:
        if (each["layout"], each["load"]) == (layout, load):
            for key in path:
                each = each[key]
            found.append(float(each))  # type: ignore[arg-type]
    return statistics.median(found)


def divided(cost: tuple[float, float], fixed_per_answer: tuple[float, float]) -> tuple[float, float]:
    """The cost of a text and that of a message, from the cost of an answer under two loads with so many messages per
    answer. Neither is negative.
    """
    (alone, together), (many, few) = cost, fixed_per_answer
    fixed = max(0.0, (alone - together) / (many - few))
    return max(0.0, together - few * fixed), fixed


def fitted(records: Sequence[Record], layout: str, loads: tuple[str, str] = ("uncached, 1", "uncached, 32")) -> Costs:
    """The simulation's costs, from the processor time per answer under two loads."""

    def part(name: str, per: str) -> tuple[float, float]:
        costs = [1e-6 * median(records, layout, load, "cost_us", name) for load in loads]
        each = [median(records, layout, load, "per_answer", per) for load in loads]
        return divided((costs[0], costs[1]), (each[0], each[1]))

    web, redis, worker, engine = (
        part("web", "messages"),
        part("Redis", "messages"),
        part("worker", "messages"),
        part("engine", "calls"),
    )
    callers = 1e-6 * median(records, layout, loads[1], "cost_us", "callers")
    return Costs(*web, *redis, *worker, *engine, caller_text_s=callers)


def simulated(costs: Costs, record: Record) -> Record:
    """The simulation's result for a measured load, without the cores that others used meanwhile."""
    cores = (os.cpu_count() or 1) - max(0.0, record["others_cores"])
    layout = Layout(cores=cores, web=record["web"], workers=record["workers"], threads=record["threads"], shared=True)
    out = queueing.closed(costs, layout, int(record["load"].split()[1]))
    return {"answers_per_s": out.per_s, "p50_ms": out.percentile_ms(50)}


def checked(records: Sequence[Record], costs: Costs) -> list[Record]:
    """Compares the simulation with the measurements, round by round; returns medians."""
    found = []
    runs = [each for each in records if each["load"].startswith("uncached") and each["layout"] != TCP]
    for title, load in dict.fromkeys((each["layout"], each["load"]) for each in runs):
        rounds = [each for each in runs if (each["layout"], each["load"]) == (title, load)]
        ours = [simulated(costs, each) for each in rounds]
        for key in ("answers_per_s", "p50_ms"):
            errors = [one[key] / each[key] - 1 for one, each in zip(ours, rounds, strict=True)]
            real, said = (statistics.median(each[key] for each in many) for many in (rounds, ours))
            figures = {"measured": real, "simulated": said, "error": statistics.median(errors)}
            found.append({"layout": title, "load": load, "what": key, **figures, "errors": errors})
    return found


TCP = "3 Redis over TCP"
BASE = "2 web, 1 worker of 2 threads"
LAYOUTS = {
    "1 web": Layout(web=1),
    "4 web": Layout(web=4),
    "1 worker of 1 thread": Layout(threads=1),
    "2 workers of 1 thread": Layout(workers=2, threads=1),
    "2 workers of 2 threads": Layout(workers=2, threads=2),
}
"""The layouts; only what differs from `BASE` is given."""


def measure(run: Run, rounds: int) -> None:
    """Measures all layouts and loads."""
    unknown = [("uncached", 1), ("uncached", 32), ("uncached", 256)]
    run.layout(BASE, Layout(), [("cached", 32), ("cached in Redis", 32), *unknown, ("job", 0)], rounds)
    for title, layout in LAYOUTS.items():
        cached = [("cached", 32)] if "web" in title else []
        run.layout(title, layout, [*cached, *unknown[1:]], max(1, rounds - 1))
    run.layout(TCP, Layout(), [("cached in Redis", 32), *unknown[1:], ("job", 0)], max(1, rounds - 1), tcp=True)


HOSTS = (1, 2, 4, 8, 16)


def grown(costs: Costs, cores: int, callers_per_core: int = 128) -> list[Record]:
    """The throughput of N hosts. Each has one worker with a thread per core, and enough web processes that no worker
    lacks chunks; Redis and the callers are elsewhere.
    """
    rows = []
    for hosts in HOSTS:
        layout = Layout(hosts=hosts, cores=cores, web=max(4, cores), workers=1, threads=cores)
        out = queueing.closed(costs, layout, hosts * cores * callers_per_core, warm_s=1.0)
        rows.append(
            {**asdict(layout), "answers_per_s": out.per_s, "p50_ms": out.percentile_ms(50), "redis": out.busy["Redis"]}
        )
    return rows


def gpus(costs: Costs) -> list[Record]:
    """A worker whose engine is a GPU that scores so many texts per second and takes 5 ms more per call, with 8 web
    processes and enough cores for everything.
    """
    rows = []
    for rate, workers in ((2_000, 1), (5_000, 1), (10_000, 1), (20_000, 1), (20_000, 2)):
        layout = Layout(cores=16, web=8, workers=workers, threads=1)
        out = queueing.closed(replace(costs, engine_text_s=1 / rate, engine_call_s=0.005), layout, 4096, warm_s=1.0)
        rows.append({"gpu_texts_per_s": rate, **asdict(layout), "answers_per_s": out.per_s, **out.busy})
    return rows


def shapes(costs: Costs, callers: int = 1024) -> list[Record]:
    """One host of 8 cores, divided in different ways."""
    rows = []
    for web in (2, 4, 8):
        for workers, threads in ((1, 8), (2, 4), (4, 2), (8, 1)):
            layout = Layout(cores=8, web=web, workers=workers, threads=threads)
            out = queueing.closed(costs, layout, callers, warm_s=1.0)
            rows.append({**asdict(layout), "answers_per_s": out.per_s, "p50_ms": out.percentile_ms(50)})
    return rows


def summary(records: Sequence[Record], costs: Costs, hosts: Sequence[Record]) -> str:
    """The results as tables, for people."""
    rows = []
    for title, load in dict.fromkeys((each["layout"], each["load"]) for each in records):
        if load == "idle":
            continue
        spent = [f"{median(records, title, load, 'cost_us', part):,.0f}" for part in PARTS]
        rate = f"{median(records, title, load, 'answers_per_s'):,.0f}"
        messages = median(records, title, load, "per_answer", "messages")
        rows.append([title, load, rate, *spent, f"{1 / messages:.1f}" if messages > 0.001 else ""])
    told = [
        "Processor time of an answer, microseconds\n",
        table(["layout", "load", "answers/s", *PARTS, "texts a message"], rows),
    ]
    fit = [[name.removesuffix("_s"), f"{1e6 * value:,.0f}"] for name, value in asdict(costs).items()]
    told += ["What the simulation takes from that, microseconds\n", table(["cost", "us"], fit)]
    compared = [
        [
            each["layout"],
            each["load"],
            each["what"],
            f"{each['measured']:,.1f}",
            f"{each['simulated']:,.1f}",
            f"{each['error']:+.0%}",
        ]
        for each in checked(records, costs)
    ]
    told += [
        "Simulated against measured\n",
        table(["layout", "load", "figure", "measured", "simulated", "error"], compared),
    ]
    given = [
        [
            f"{each['cores']:.0f}",
            str(each["hosts"]),
            f"{each['answers_per_s']:,.0f}",
            f"{each['p50_ms']:,.0f}",
            f"{each['redis']:.0%}",
        ]
        for each in hosts
    ]
    told += ["Hosts, simulated\n", table(["cores", "hosts", "answers/s", "p50 ms", "Redis busy"], given)]
    split = [part for each in records for part in each["cost_us"] if part.startswith("Redis,")][:3]
    told += ["Redis, microseconds and bytes of an answer\n"]
    traffic = []
    for title, load in dict.fromkeys(
        (each["layout"], each["load"]) for each in records if each["layout"] in (BASE, TCP)
    ):
        for part in split if title == TCP else ["Redis"]:
            if load != "idle":
                each = [
                    median(records, title, load, "per_answer", f"{part}: {what}")
                    for what in ("commands", "bytes in", "bytes out")
                ]
                cost = median(records, title, load, "cost_us", part)
                ceiling = f"{1e6 / cost:,.0f}" if cost >= 1 else ""
                traffic.append([part, load, f"{cost:,.0f}", ceiling, *(f"{one:,.1f}" for one in each)])
    told += [table(["server", "load", "us", "answers/s at its end", "commands", "bytes in", "bytes out"], traffic)]
    return "\n".join(told)


def main() -> None:
    """Measures and writes docs/scaling.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="a TSV file, perhaps gzipped, with a column `text`; else texts are generated"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    parser.add_argument(
        "--patience", type=float, default=2.0, help="seconds that a load waits for others on this machine to be quiet"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "scaling.json")
    parser.add_argument("--read", action="store_true", help="measures nothing: simulates anew from what --out holds")
    asked = parser.parse_args()
    if asked.read:
        kept = json.loads(asked.out.read_text())
        about, records = kept["facts"], kept["records"]
    else:
        about = facts("python -m benchmarks.scaling" + (f" --data {asked.data.name}" if asked.data else ""))
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
            texts = Texts(asked.data)
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
            run = Run(texts, Path(folder), asked.seconds, asked.patience, [])
            write_lines(run.folder / "plain", run.texts.plain)
            measure(run, asked.rounds)
        records = run.records
        about |= {"texts": run.texts.source, "minutes": round((time.monotonic() - began) / 60, 1)}
    costs = fitted(records, BASE)
    # Capacity depends on the costs of full messages.
    full = fitted(records, BASE, ("uncached, 32", "uncached, 256"))
    hosts = [*grown(full, 2), *grown(full, 8)]
    print(summary(records, costs, hosts))
    out = {"facts": about, "records": records, "costs": asdict(costs), "checked": checked(records, costs)}
    out |= {
        "costs of full messages": asdict(full),
        "hosts": hosts,
        "one host of 8 cores": shapes(full),
        "GPUs": gpus(full),
    }
    asked.out.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
