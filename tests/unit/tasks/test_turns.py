"""The order in which the chunks of jobs are sent: callers take turns. On a real server, with chunks that tests end."""

from __future__ import annotations

import time
import uuid
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.jobs.incoming import IncomingJobs, Page, StreamPage
from tasks.jobs.job import Entry
from tasks.jobs.kept import KeptJobs
from tasks.jobs.keys import chunk_id, chunk_of, job_key, turn_keys
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.queues import task_ids, waiting
from tasks.queue.turns import AHEAD, Turns
from tasks.store.outcomes import Scored
from tasks.streams.keys import stream_key
from tasks.streams.lines import LINE
from tasks.tracing import Origin
from tasks.wire import StreamTodo, Todo
from tests.support.jobs import MODEL
from tests.support.stack import Stack

GOOD = Scored((0.1, 0.2, 0.7), False)
WINDOW = 4


class Service:
    """Jobs of several callers, and one worker that does the chunks in the order in which they are sent."""

    def __init__(self, server: Stack, *, workers: int = 1) -> None:
        config = server.settings()
        app = create_celery(config)
        results = CeleryResults(app, server.redis)
        self.redis = server.redis
        self.incoming = IncomingJobs(server.redis, results, ttl_s=100)
        self.running = RunningJobs(server.redis, results)
        self.kept = KeptJobs(server.redis, results)
        self.workers = workers
        self.model = server.default_model
        sender = ChunkSender(app, self.model)
        self.interactive = 0
        self.turns = Turns(
            server.redis,
            sender,
            self.model,
            workers=lambda role: self.interactive if role == "interactive" else self.workers,
        )
        self.sent: list[str] = []
        """The chunks that are in the broker, the first one first."""
        self.first: set[str] = set()
        """The chunks that workers take before others."""
        self.quick: list[str] = []
        """The chunks that interactive workers have."""
        self.done: list[str] = []
        self.callers: dict[str, str] = {}

    def submit(self, caller: str, chunks: int, *, work: int = 1000, window: int = WINDOW, old: bool = False) -> str:
        """Takes a job with so many chunks in, each of which costs so many thousandths of a full one; returns its id.

        An `old` one is of the version before.
        """
        job_id = uuid.uuid4().hex
        self.callers[job_id] = caller
        self.incoming.begin(
            job_id, chunk_size=1, window=window, owner=caller if old else None, caller=None if old else caller
        )
        if old:
            self.redis.hdel(job_key(job_id), "work")
        numbers = range(chunks)
        texts = [Todo([f"{job_id} {number}"], [1]) for number in numbers]
        lines = [(Entry(f"{job_id} {number}"), number) for number in numbers]
        to_send = self.incoming.append(
            job_id, Page(0, lines, None, 0, texts, {}, 0, 0, work=0 if old else work * chunks)
        )
        self.incoming.seal(job_id)
        self.choose(*(chunk_id(job_id, number) for number in to_send))
        return job_id

    def submit_to_stream(self, caller: str, chunks: int, *, work: int = 1000) -> str:
        """Takes a job in whose texts are for a stream, in chunks of one line; returns its id."""
        job_id = uuid.uuid4().hex
        self.callers[job_id] = caller
        self.make_stream()
        self.incoming.begin(job_id, chunk_size=1, window=WINDOW, caller=caller, stream=("uid", "name"))
        line = LINE.pack(0, 0, 0, 0, -1, 0, 1, 0)
        todos = [
            StreamTodo([f"{job_id} {number}"], [""], line, b"", None, False, [1], False, 2) for number in range(chunks)
        ]
        self.incoming.append_for_stream(job_id, StreamPage(0, chunks, 0, todos, 0, work * chunks))
        self.choose(*(chunk_id(job_id, number) for number in self.incoming.seal(job_id)))
        return job_id

    def make_stream(self) -> None:
        """Makes the stream for whose texts jobs are."""
        self.redis.hset(stream_key("uid"), "name", "name")
        self.redis.expire(stream_key("uid"), 600)

    def choose(self, *chunk_ids: str) -> None:
        """Lets chunks wait for their turn, and sends those whose turn it is."""
        for turn in self.turns.choose(chunk_ids):
            if turn.is_quick:
                self.quick.append(turn.chunk_id)
                continue
            place = len(self.sent)
            if turn.is_first:  # it has a higher priority
                place = next((n for n, other in enumerate(self.sent) if other not in self.first), place)
                self.first.add(turn.chunk_id)
            self.sent.insert(place, turn.chunk_id)

    def work(self) -> str:
        """Does the first chunk in the broker; returns its job."""
        return self._do(self.sent.pop(0))

    def work_quickly(self) -> str:
        """Does the first chunk that an interactive worker has; returns its job."""
        return self._do(self.quick.pop(0))

    def _do(self, task_id: str) -> str:
        job_id, number = chunk_of(task_id)
        if self.running.todo(job_id, number) is not None:
            self.running.store_results(job_id, number, [GOOD], MODEL)
            following = self.running.finish(job_id, number, [GOOD], [1], MODEL)
        else:
            following = self.running.following(job_id, number)
        self.choose(*([] if following is None else [chunk_id(job_id, following)]))
        if following is not None:
            self.running.sent(job_id, following)
        self.done.append(task_id)
        return job_id

    def finish(self, job_id: str, *, limit: int = 1000) -> int:
        """Works until a job has ended; returns the number of chunks that were done meanwhile, of all jobs."""
        for count in range(limit):
            if self.kept.get(job_id).ended is not None:
                return count
            self.work()
        raise AssertionError(f"the job has not ended after {limit} chunks")


@pytest.fixture
def service(server: Stack) -> Service:
    """A service with one worker, on an empty server."""
    return Service(server)


def test_many_small_jobs_of_another(service: Service) -> None:
    """A job behind 60 small ones of another caller takes twice as long as alone, and not as long as all of them."""
    for _ in range(60):
        service.submit("greedy", 1)
    assert service.finish(service.submit("modest", 8)) <= 2 * 8 + AHEAD + 1


def test_a_stream_goes_before_jobs(service: Service) -> None:
    """A chunk with texts for a stream is the next that a worker takes, however many chunks of jobs wait."""
    for _ in range(3):
        service.submit("greedy", 50)
    for _ in range(5):
        job_id = service.submit_to_stream("modest", 1)
        assert service.finish(job_id) == 1
        service.work()


def test_a_large_stream_does_not_starve_jobs(service: Service) -> None:
    """While a million texts come into a stream, a job has about a quarter of the work."""
    large = service.submit_to_stream("greedy", 400)
    done = service.finish(service.submit("modest", 20))
    assert 60 <= done <= 4 * 20 + AHEAD + 4
    assert service.kept.get(large).ended is None
    service.finish(large)


def test_a_small_chunk_of_a_stream_goes_to_an_interactive_worker(service: Service) -> None:
    """While a job keeps the batch workers busy, small requests of a stream go to the interactive worker, one at a time;
    then the next one waits there no longer than the batch worker's next chunk takes.
    """
    service.interactive = 1
    service.submit("greedy", 50)
    first = service.submit_to_stream("modest", 1, work=10)
    assert [chunk_of(task_id)[0] for task_id in service.quick] == [first]
    second = service.submit_to_stream("modest", 1, work=10)
    assert len(service.quick) == 1
    assert chunk_of(service.sent[0])[0] == second
    assert service.work_quickly() == first
    assert service.kept.get(first).ended == "succeeded"
    assert service.work() == second


def test_a_small_request_does_not_wait_behind_a_large_one(service: Service) -> None:
    """Small requests of a stream are taken at once, or as the next chunk, also behind a large upload of the caller."""
    large = service.submit_to_stream("me", 50)
    assert service.finish(service.submit_to_stream("me", 1, work=10)) <= 3
    service.interactive = 1
    small = service.submit_to_stream("me", 1, work=10)
    assert service.work_quickly() == small
    assert service.kept.get(large).ended is None


def test_callers_come_first_at_an_interactive_worker(service: Service) -> None:
    """However many small requests streams have, they get a quarter of an interactive worker's time at the most: the
    others, and all chunks that are large, go to the batch workers.
    """
    service.interactive = 1
    large = service.submit_to_stream("greedy", 1)
    assert not service.quick
    began = time.monotonic()
    spent = count = 0
    while time.monotonic() - began < 1.0:
        service.submit_to_stream("modest", 1, work=100)
        count += 1
        while service.quick:
            service.work_quickly()
            spent += 100
        while service.sent:
            service.work()
    assert service.kept.get(large).ended == "succeeded"
    assert 500 <= spent <= 600 + 1000 * (time.monotonic() - began) / 4
    assert len(service.done) == count + 1


def test_without_interactive_workers_all_goes_to_batch_workers(service: Service) -> None:
    """Where no interactive worker is ready, small requests of a stream go to the batch workers."""
    job_id = service.submit_to_stream("modest", 1, work=10)
    assert (len(service.sent), service.quick) == (1, [])
    assert service.turns.queues() == ["batch"]
    service.finish(job_id)


def test_steady_stream_of_another(service: Service) -> None:
    """A job comes to its end in turn though another caller sends a new one with each chunk that is done."""
    for _ in range(5):
        service.submit("greedy", 1)
    job_id = service.submit("modest", 8)
    count = 0
    while service.kept.get(job_id).ended is None:
        service.submit("greedy", 1)
        service.work()
        count += 1
    assert count <= 2 * 8 + AHEAD + 1


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(callers=st.integers(2, 8), chunks=st.integers(1, 12), data=st.data())
def test_bound(server: Stack, callers: int, chunks: int, data: st.DataObject) -> None:
    """Beside others, whatever they send, a job takes as many times its work as there are busy callers, and a chunk of
    each and of what is under way.
    """
    server.redis.flushdb()
    service = Service(server)
    others = [f"caller {number}" for number in range(callers - 1)]
    for other in others:
        for _ in range(data.draw(st.integers(1, 5))):
            service.submit(other, data.draw(st.integers(1, 30)))
    for _ in range(data.draw(st.integers(0, 5))):
        if service.sent:
            service.work()
    assert service.finish(service.submit("me", chunks)) <= callers * chunks + callers + AHEAD


def test_turns_are_by_work(service: Service) -> None:
    """A caller whose chunks cost a tenth of another's has ten of them done for each of the other's."""
    service.submit("large", 40)
    service.submit("small", 200, work=100)
    for _ in range(110):
        service.work()
    count = Counter(service.callers[chunk_of(task_id)[0]] for task_id in service.done)
    assert 8 <= count["large"] <= 12
    assert 98 <= count["small"] <= 102


def test_nobody_saves_turns_up(service: Service) -> None:
    """Whoever was alone for long, or away, takes turns with a new caller from then on."""
    service.finish(service.submit("early", 5))
    service.submit("long", 100)
    for _ in range(50):
        service.work()
    for caller in ("early", "new"):
        service.submit(caller, 20)
    for _ in range(AHEAD + 1):  # what is under way
        service.work()
    found = [service.callers[service.work()] for _ in range(30)]
    assert all(9 <= found.count(caller) <= 11 for caller in ("early", "new", "long"))
    assert all(set(found[i : i + 4]) == {"early", "new", "long"} for i in range(27))


def test_small_jobs_first_within_a_caller(service: Service) -> None:
    """Of one caller's jobs, a small one that comes later ends before a large one that has had much done."""
    large = service.submit("me", 60)
    for _ in range(20):
        service.work()
    assert service.finish(service.submit("me", 2)) <= 2 + AHEAD + 1
    assert service.kept.get(large).ended is None


def test_small_jobs_do_not_hold_a_large_one_up_for_ever(service: Service) -> None:
    """Under an endless stream of the caller's own small jobs, a large job goes on: a chunk in a dozen or so."""
    large = service.submit("me", 200)
    for _ in range(60):
        service.work()
    before = service.kept.get(large).done
    for _ in range(300):
        service.submit("me", 1)
        service.work()
    assert 20 <= service.kept.get(large).done - before <= 60


def test_equal_jobs_in_their_order(service: Service) -> None:
    """A caller's small jobs are done in the order in which they came."""
    jobs = [service.submit("me", 1) for _ in range(30)]
    assert [service.work() for _ in jobs] == jobs


def test_few_chunks_are_sent(service: Service) -> None:
    """However many jobs there are, only a chunk for each worker and one more are in the broker."""
    for number in range(20):
        service.submit(f"caller {number % 3}", 10)
    assert len(service.sent) == 1 + AHEAD
    service.workers = 5
    for _ in range(50):
        service.work()
        assert len(service.sent) == 5 + AHEAD
    service.workers = 0
    for _ in range(10):
        service.work()
    assert len(service.sent) == 1 + AHEAD


def test_cancelled_and_expired_jobs_hold_nobody_up(service: Service) -> None:
    """Chunks of jobs that were cancelled or have expired take no turn, and give their place in the broker back."""
    for how in ("cancel", "expire"):
        gone = [service.submit("greedy", 10) for _ in range(3)]
        for job_id in gone:
            if how == "cancel":
                service.kept.cancel(job_id)
            else:
                service.redis.delete(job_key(job_id), job_key(job_id, "todo"))
        mine = service.submit("modest", 3)
        assert {chunk_of(task_id)[0] for task_id in service.sent[-AHEAD - 1 :]} == {mine}
        assert service.finish(mine) <= 3 + 2 * (AHEAD + 1)
    assert service.turns.waiting() == set()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), workers=st.integers(1, 4))
def test_nothing_is_lost(server: Stack, data: st.DataObject, workers: int) -> None:
    """In any order of jobs, chunks and cancelled jobs, each chunk is sent once, and all other jobs end."""
    server.redis.flushdb()
    service = Service(server, workers=workers)
    jobs: dict[str, int] = {}
    for _ in range(data.draw(st.integers(1, 40))):
        step = data.draw(st.sampled_from(["job", "work", "work", "cancel"]))
        if step == "job":
            chunks = data.draw(st.integers(1, 12))
            work = data.draw(st.integers(1, 2000))
            jobs[service.submit(data.draw(st.sampled_from("abc")), chunks, work=work)] = chunks
        elif step == "work" and service.sent:
            service.sent.insert(0, service.sent.pop(data.draw(st.integers(0, len(service.sent) - 1))))
            service.work()
        elif step == "cancel" and jobs and data.draw(st.booleans()):
            service.kept.cancel(list(jobs)[data.draw(st.integers(0, len(jobs) - 1))])
    while service.sent:
        service.work()
    assert len(set(service.done)) == len(service.done)
    for job_id, chunks in jobs.items():
        if service.kept.get(job_id).cancelled_at is None:
            assert {chunk_id(job_id, number) for number in range(chunks)} <= set(service.done)
            assert service.kept.get(job_id).ended is not None
    assert service.turns.waiting() == set()


def test_handed_out_and_not_sent(service: Service) -> None:
    """A chunk that is given again after its turn came is sent once more, though no place is free: whoever gave it first
    may have died before.
    """
    job_id = service.submit("me", 10, window=2)
    first, second = (chunk_id(job_id, number) for number in range(2))
    assert service.sent == [first, second]
    service.choose(first)
    assert service.sent == [first, second, first]
    other = service.submit("me", 10)
    waits = chunk_id(other, 3)
    assert waits in service.turns.waiting()
    service.choose(waits)
    assert waits in service.turns.waiting()
    assert service.finish(other) > 0
    assert service.done.count(waits) == 1


def test_jobs_of_the_version_before(service: Service) -> None:
    """A job without a caller takes turns by its owner, or with all jobs that have neither; its chunks count as full."""
    for _ in range(30):
        service.submit("greedy", 1, old=True)
    assert service.finish(service.submit("modest", 6, old=True)) <= 2 * 6 + AHEAD + 1


def test_sent_on_behalf_of_the_jobs_request(service: Service) -> None:
    """Whoever sends a chunk, it names the request that made its job."""
    job_id, origin = uuid.uuid4().hex, Origin(("request 7",), ())
    service.incoming.begin(job_id, chunk_size=1, window=1, caller="me", origin=origin)
    service.incoming.append(job_id, Page(0, [(Entry("a"), 0)], None, 0, [Todo(["a"], [1])], {}, 0, 0))
    service.workers = 9
    (turn,) = service.turns.choose([chunk_id(job_id, 0)])
    assert turn.origin == origin
    service.turns.send(turn)
    assert task_ids(service.redis, "batch") == {chunk_id(job_id, 0)}
    assert waiting(service.redis, "batch") == 1


def test_quick_chunks_are_in_the_queue_of_interactive_workers(service: Service) -> None:
    """A small chunk of a stream is sent to the queue of the interactive workers, where the upkeep looks for it too."""
    service.interactive = 1
    service.make_stream()
    job_id = uuid.uuid4().hex
    service.incoming.begin(job_id, chunk_size=1, window=1, caller="me", stream=("uid", "name"))
    todo = StreamTodo(["a"], [""], LINE.pack(0, 0, 0, 0, -1, 0, 1, 0), b"salt", None, False, [1], False, 2)
    service.incoming.append_for_stream(job_id, StreamPage(0, 1, 0, [todo], 0, 10))
    (turn,) = service.turns.choose(chunk_id(job_id, number) for number in service.incoming.seal(job_id))
    service.turns.send(turn)
    assert task_ids(service.redis, "interactive") == {chunk_id(job_id, 0)}
    assert task_ids(service.redis, *service.turns.queues()) == {chunk_id(job_id, 0)}
    assert task_ids(service.redis, "batch") == set()


def test_callers_that_are_gone_are_forgotten(service: Service) -> None:
    """When nothing waits, nothing is kept of callers that were served before the latest."""
    for number in range(50):
        service.finish(service.submit(f"caller {number}", 1))
    service.submit("last", 1)
    callers = turn_keys(service.model)[0]
    assert service.redis.zcard(callers) <= 2
    assert service.redis.keys("sentiq:turn:*") == []
