"""A small queueing simulation of Sentiq on any number of hosts, with the costs that `benchmarks.scaling` measured.

It is event driven, in plain Python, with a fixed seed. A text that is not cached takes its real way. A web process
reads it; the coalescer claims the texts that have gathered and sends them as one message, of which only so many are
under way at once, and it waits a little for callers who come back (`tasks.submit.coalescer`). Redis has one thread. A
worker takes a few messages at once (`tasks.work.roles`), and their texts go together into one of two calls of the
engine (`model.engines.merging`), whose threads share the work. A Python process does one thing at a time, and the
processes of a host share its cores equally.

It leaves out the time in which nothing works (the network, the kernel's wake-ups), memory bandwidth, and failures.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tasks.submit.capacity import CALLER_CHUNK_S, CHUNKS_UNDER_WAY
from tasks.submit.coalescer import CLAIM_LIMIT
from tasks.submit.lingering import LINGER_MOST_S, LINGER_SHARE
from tasks.work.roles import INTERACTIVE

Then = Callable[[], None]
ENGINE_CALLS = 2
"""How many calls of the engine run at once: `MergingEngine`'s default."""
PART_TEXTS = 4
"""A call is divided among the engine's threads if each gets this many tweets: 96 tokens (`model.engines.batching`)."""
SPREAD = 0.5
"""The standard deviation of texts' lengths divided by their mean; this is about that of tweets."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor seconds in each part: for a text, and in addition for each message or each call of the engine."""

    web_text_s: float
    web_message_s: float
    redis_text_s: float
    redis_message_s: float
    worker_text_s: float
    worker_message_s: float
    engine_text_s: float
    engine_call_s: float
    caller_text_s: float = 0.0
    """The cost in the load generator."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What runs where. All hosts are alike; Redis and the callers have machines of their own, unless `shared`."""

    hosts: int = 1
    cores: float = 2
    """The cores of a host; a fraction is what other programs leave of a core."""
    web: int = 2
    """WEB_CONCURRENCY on each host."""
    workers: int = 1
    """The interactive workers on each host."""
    threads: int = 2
    """ENGINE_THREADS of each worker."""
    shared: bool = False
    """Whether Redis and the callers use the cores of the only host, as in the measurement."""
    under_way: int = CHUNKS_UNDER_WAY
    """The chunks under way for each worker, summed over the web processes; each of these may send at least one."""


class Clock:
    """Simulated time, and the events to come."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._numbers = itertools.count()

    def after(self, delay_s: float, then: Then) -> None:
        """Calls `then` in so many seconds."""
        heapq.heappush(self._events, (self.now + delay_s, next(self._numbers), then))

    def run(self, until_s: float) -> None:
        """Lets time pass until this second."""
        while self._events and self._events[0][0] <= until_s:
            self.now, _, then = heapq.heappop(self._events)
            then()
        self.now = until_s


class Cores:
    """The cores of a machine, shared equally by everything that runs; each task uses at most one core."""

    def __init__(self, clock: Clock, count: float) -> None:
        self._clock, self._count = clock, count
        self._running: list[tuple[float, int, Then]] = []
        self._numbers = itertools.count()
        self._served_s = 0.0
        """The seconds that a task which runs all the time would have got; a task ends when this passes its mark."""
        self._since = 0.0
        self._version = 0
        self.used_s = 0.0
        """The seconds used of all cores together."""

    def start(self, work_s: float, then: Then) -> None:
        """Runs a task that needs so many processor seconds, then calls `then`."""
        self._pass()
        heapq.heappush(self._running, (self._served_s + work_s, next(self._numbers), then))
        self._plan()

    def _pass(self) -> None:
        elapsed_s, self._since = self._clock.now - self._since, self._clock.now
        if self._running:
            self.used_s += elapsed_s * min(len(self._running), self._count)
            self._served_s += elapsed_s * min(1.0, self._count / len(self._running))

    def _plan(self) -> None:
        self._version += 1
        if self._running:
            left_s = (self._running[0][0] - self._served_s) / min(1.0, self._count / len(self._running))
            self._clock.after(max(0.0, left_s), lambda version=self._version: self._end(version))  # type: ignore[misc]

    def _end(self, version: int) -> None:
        if version != self._version:
            return  # another task has begun or ended meanwhile
        self._pass()
        self._served_s, _, then = heapq.heappop(self._running)
        self._plan()
        then()


class Server:
    """A process or a pool of threads that does so many things at once; the others wait in order of arrival."""

    def __init__(self, cores: Cores, slots: int = 1) -> None:
        self._cores, self._free = cores, slots
        self._waiting: deque[tuple[float, Then]] = deque()
        self.used_s = 0.0

    def do(self, work_s: float, then: Then) -> None:
        """Does so many processor seconds of work, then calls `then`."""
        self._waiting.append((work_s, then))
        self._next()

    def _next(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            work_s, then = self._waiting.popleft()
            self.used_s += work_s
            self._cores.start(work_s, lambda then=then: self._done(then))  # type: ignore[misc]

    def _done(self, then: Then) -> None:
        self._free += 1
        self._next()
        then()


@dataclass(slots=True)
class Text:
    """One text of a caller, and the time of its request."""

    length: float
    """The length relative to the mean."""
    asked_at: float
    answered: Then


@dataclass(slots=True)
class Message:
    """Texts that are sent to a worker, and the web process that waits for them."""

    texts: list[Text]
    web: Web
    sent_at: float


class Web:
    """A web process with its coalescer."""

    def __init__(self, system: System, cores: Cores) -> None:
        self._system, self._costs, self._process = system, system.costs, Server(cores)
        self._gathered: deque[Text] = deque()
        self._claimed: deque[Text] = deque()
        self._under_way = 0
        self._busy = False
        self._claimed_last = False
        self._round_trip_s = self._linger_until = 0.0
        self._expected_back = 0
        self._limit = max(1, math.ceil(system.layout.under_way * system.layout.workers / system.layout.web))
        self._chunk_limit = max(1, int(system.engine_rate * CALLER_CHUNK_S))

    def ask(self, text: Text) -> None:
        """Takes a request in."""

        def read() -> None:
            self._gathered.append(text)
            self._expected_back = max(0, self._expected_back - 1)
            self._coalesce()

        self._process.do(self._costs.web_text_s / 2, read)

    def _coalesce(self) -> None:
        """Runs the coalescer's thread, which takes one step at a time."""
        may_send = bool(self._claimed) and self._under_way < self._limit
        if self._busy or not (self._gathered or may_send):
            return
        if self._lingers():
            return
        self._busy = True
        costs, redis = self._costs, self._system.redis
        if self._gathered and not (self._claimed_last and may_send):
            self._claimed_last = True
            claimed = [self._gathered.popleft() for _ in range(min(CLAIM_LIMIT, len(self._gathered)))]
            work_s = costs.redis_message_s / 4 + len(claimed) * costs.redis_text_s / 2
            self._process.do(costs.web_message_s / 3, lambda: redis.do(work_s, lambda: self._claim(claimed)))
        else:
            self._claimed_last = False
            texts = [self._claimed.popleft() for _ in range(min(self._chunk_limit, len(self._claimed)))]
            self._under_way += 1
            self._process.do(
                costs.web_message_s / 3, lambda: redis.do(costs.redis_message_s / 4, lambda: self._send(texts))
            )

    def _lingers(self) -> bool:
        """Whether it waits for callers who are expected back. It looks again when one comes, and when time is up."""
        left_s = self._linger_until - self._system.clock.now
        if not self._expected_back or self._under_way >= self._limit or left_s <= 0:
            return False
        self._system.clock.after(left_s, self._coalesce)
        return True

    def _claim(self, texts: list[Text]) -> None:
        self._claimed.extend(texts)
        self._busy = False
        self._coalesce()

    def _send(self, texts: list[Text]) -> None:
        self._system.messages += 1
        self._system.queue.append(Message(texts, self, self._system.clock.now))
        self._system.deliver()
        self._busy = False
        self._coalesce()

    def reply(self, message: Message) -> None:
        """Takes a worker's answers in."""
        texts, clock = message.texts, self._system.clock

        def resolve() -> None:
            self._under_way -= 1
            self._round_trip_s += 0.2 * (clock.now - message.sent_at - self._round_trip_s)
            if clock.now >= self._linger_until:
                self._expected_back = 0
                self._linger_until = clock.now + min(LINGER_MOST_S, LINGER_SHARE * self._round_trip_s)
            self._expected_back += len(texts)
            self._coalesce()
            for text in texts:
                self._process.do(self._costs.web_text_s / 2, text.answered)

        self._process.do(self._costs.web_message_s / 3, resolve)


class Worker:
    """An interactive worker with its engine."""

    def __init__(self, system: System, cores: Cores) -> None:
        self._system, self._costs = system, system.costs
        self._process, self._engine = Server(cores), Server(cores, system.layout.threads)
        self._asks: deque[Message] = deque()
        self._calls = 0
        self._call_limit = INTERACTIVE.cost_together(system.engine_rate)
        self.free = INTERACTIVE.threads

    def take(self, message: Message) -> None:
        """Gives a message to one of the worker's threads."""
        self.free -= 1
        costs = self._costs

        def begun() -> None:
            self._process.do(
                costs.worker_message_s / 2 + len(message.texts) * costs.worker_text_s / 2, lambda: self._ask(message)
            )

        self._system.redis.do(costs.redis_message_s / 4, begun)

    def _ask(self, message: Message) -> None:
        self._asks.append(message)
        self._call()

    def _call(self) -> None:
        """Scores the texts that have gathered, if a call may begin."""
        if not self._asks or self._calls == ENGINE_CALLS:
            return
        self._calls += 1
        self._system.calls += 1
        messages = [self._asks.popleft()]
        count = len(messages[0].texts)
        while self._asks and count + len(self._asks[0].texts) <= self._call_limit:
            messages.append(self._asks.popleft())
            count += len(messages[-1].texts)
        work_s = (
            self._costs.engine_call_s
            + sum(text.length for each in messages for text in each.texts) * self._costs.engine_text_s
        )
        parts = left = min(self._system.layout.threads, math.ceil(count / PART_TEXTS))

        def scored() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._calls -= 1
                for message in messages:
                    self._settle(message)
                self._call()

        for _ in range(parts):
            self._engine.do(work_s / parts, scored)

    def _settle(self, message: Message) -> None:
        costs, count = self._costs, len(message.texts)

        def stored() -> None:
            self.free += 1
            message.web.reply(message)
            self._system.deliver()

        redis_s = costs.redis_message_s / 4 + count * costs.redis_text_s / 2
        work_s = costs.worker_message_s / 2 + count * costs.worker_text_s / 2
        self._process.do(work_s, lambda: self._system.redis.do(redis_s, stored))


@dataclass(slots=True)
class Outcome:
    """The result of a run. Counts and times are those after the warm-up."""

    seconds: float = 0.0
    asked: int = 0
    """The number of requests since the start; `answered` also counts from the start."""
    answered: int = 0
    inside: int = 0
    """The texts that wait at the end."""
    times_s: list[float] = field(default_factory=list)
    area_s: float = 0.0
    """The number of waiting texts, integrated over time."""
    messages: int = 0
    calls: int = 0
    busy: dict[str, float] = field(default_factory=dict)
    """For each part, the share of time in which its busiest server worked, as if at full speed."""

    @property
    def per_s(self) -> float:
        """Answers per second."""
        return len(self.times_s) / self.seconds

    @property
    def mean_inside(self) -> float:
        """The average number of waiting texts."""
        return self.area_s / self.seconds

    @property
    def mean_s(self) -> float:
        """The average time of an answer."""
        return statistics.fmean(self.times_s)

    def percentile_ms(self, percent: int) -> float:
        """A percentile of the answers' times."""
        return 1000 * statistics.quantiles(self.times_s, n=100, method="inclusive")[percent - 1]


class System:
    """All hosts, Redis and the callers."""

    def __init__(self, costs: Costs, layout: Layout, seed: int = 1) -> None:
        self.costs, self.layout, self.clock = costs, layout, Clock()
        self.engine_rate = layout.threads / costs.engine_text_s
        self.queue: deque[Message] = deque()
        self.messages = self.calls = 0
        self.hosts = [Cores(self.clock, layout.cores) for _ in range(layout.hosts)]
        self.redis = Server(self.hosts[0] if layout.shared else Cores(self.clock, 1))
        self._callers = Server(self.hosts[0]) if layout.shared else Server(Cores(self.clock, 1_000_000), 1_000_000)
        self._webs = [Web(self, host) for host in self.hosts for _ in range(layout.web)]
        # In turn over the hosts: the thread that has waited longest for a message gets the next one.
        self._workers = deque(Worker(self, host) for _ in range(layout.workers) for host in self.hosts)
        self._rng = random.Random(seed)
        self._outcome = Outcome()
        self._measured_from = 0.0
        self._changed_at = 0.0

    def deliver(self) -> None:
        """Gives messages to workers that have an idle thread."""
        for _ in range(len(self._workers)):
            if not self.queue:
                return
            worker = self._workers[0]
            self._workers.rotate(-1)
            if worker.free:
                worker.take(self.queue.popleft())

    def closed(self, callers: int, seconds: float, warm_s: float = 0.5) -> Outcome:
        """Runs callers who each ask again as soon as they are answered."""

        def ask(caller: int) -> None:
            self._ask(self._webs[caller % len(self._webs)], lambda: ask(caller))

        for caller in range(callers):
            ask(caller)
        return self._run(seconds, warm_s)

    def open(self, per_s: float, seconds: float, warm_s: float = 0.5) -> Outcome:
        """Runs callers who come at random, so many per second on average, each once."""

        def come() -> None:
            self._ask(self._rng.choice(self._webs), lambda: None)
            self.clock.after(self._rng.expovariate(per_s), come)

        come()
        return self._run(seconds, warm_s)

    def _ask(self, web: Web, again: Then) -> None:
        shape = SPREAD**-2
        self._inside(1)

        def answered() -> None:
            self._callers.do(self.costs.caller_text_s / 2, done)

        def done() -> None:
            self._inside(-1)
            if text.asked_at >= 0 and self.clock.now >= self._measured_from:
                self._outcome.times_s.append(self.clock.now - text.asked_at)
            again()

        text = Text(self._rng.gammavariate(shape, 1 / shape), self.clock.now, answered)
        self._callers.do(self.costs.caller_text_s / 2, lambda: web.ask(text))

    def _inside(self, change: int) -> None:
        """Notes that a text comes or goes."""
        out, now = self._outcome, self.clock.now
        if now > self._measured_from:
            out.area_s += out.inside * (now - max(self._changed_at, self._measured_from))
        self._changed_at = now
        out.inside += change
        out.asked += change > 0
        out.answered += change < 0

    def _run(self, seconds: float, warm_s: float) -> Outcome:
        out, self._measured_from = self._outcome, warm_s
        self.clock.run(warm_s + seconds)
        self._inside(0)
        out.seconds, out.messages, out.calls = seconds, self.messages, self.calls
        parts = {
            "web process": [web._process for web in self._webs],
            "worker process": [worker._process for worker in self._workers],
            "engine": [worker._engine for worker in self._workers],
            "Redis": [self.redis],
        }
        out.busy = {name: max(each.used_s for each in servers) / (warm_s + seconds) for name, servers in parts.items()}
        return out


def closed(costs: Costs, layout: Layout, callers: int, seconds: float = 3.0, warm_s: float = 0.5) -> Outcome:
    """Simulates so many callers; the load generator's cost counts only if it shares the host."""
    return System(costs if layout.shared else replace(costs, caller_text_s=0.0), layout).closed(
        callers, seconds, warm_s
    )
