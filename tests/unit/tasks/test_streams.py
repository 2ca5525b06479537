"""Streams on a real server: what is counted, once, and what is kept of it."""

from __future__ import annotations

import random
import time
import uuid
import zlib
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from model.shares import sums as of_scores
from tasks.errors import JobCancelled, StreamNotFound, TooManyStreams
from tasks.jobs.incoming import IncomingJobs, StreamPage
from tasks.jobs.kept import KeptJobs
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.queue.app import create_celery
from tasks.store.cache import PredictionCache
from tasks.store.outcomes import Failed, Outcome, Remarks, Scored
from tasks.streams.counted import write_counted
from tasks.streams.gathering import counted_of
from tasks.streams.kept import KeptStreams
from tasks.streams.lines import Facts, StreamEntry, lines_of
from tasks.streams.periods import Period, begins_of, end_of
from tasks.streams.stream import Stream, StreamSettings
from tasks.submit.intake import Into, Submission
from tasks.submit.stream_intake import StreamIntake
from tasks.wire import NewerFormat, StreamTodo, Todo, _reader, read_todo, write_todo
from tests.support.jobs import MODEL, cleaned
from tests.support.stack import Stack

NOON = 1_774_958_400
"""2026-03-31T12:00Z."""
POSITIVE, NEGATIVE = Scored((0.1, 0.2, 0.7), False), Scored((0.7, 0.2, 0.1), False)
UNREAD = Scored((0.3, 0.4, 0.3), False, Remarks(refused=True))


def outcome_of(text: str) -> Outcome:
    """What a text gets in these tests."""
    if "bad" in text:
        return NEGATIVE
    return Failed("text_failed") if "broken" in text else UNREAD if "nix" in text else POSITIVE


class Streams:
    """Streams, and jobs that bring texts into them, without web processes and workers."""

    def __init__(self, server: Stack, *, most_segments: int = 5, sample_size: int = 50) -> None:
        self.redis = server.redis
        results = CeleryResults(create_celery(server.settings()), server.redis)
        self.incoming = IncomingJobs(server.redis, results, ttl_s=100)
        self.running = RunningJobs(server.redis, results)
        self.jobs = KeptJobs(server.redis, results)
        self.kept = KeptStreams(server.redis, max_streams=3)
        self.most_segments, self.sample_size = most_segments, sample_size
        self._cache = PredictionCache(server.redis, ttl_s=100)

    def put(self, name: str = "debate", owner: str = "me", **settings: object) -> Stream:
        """Makes a stream, or changes it."""
        return self.kept.put(owner, name, StreamSettings(**{"ttl": 1000} | settings))[0]  # type: ignore[arg-type]

    def take(
        self, stream: Stream, lines: Sequence[tuple[str, Facts]], *, size: int = 4, gold_sampled: bool = False
    ) -> tuple[str, list[int]]:
        """Takes lines in; returns their job, and the chunks that have to be sent."""
        job_id = uuid.uuid4().hex
        self.incoming.begin(job_id, chunk_size=size, window=2, stream=(stream.uid, stream.name))
        intake = StreamIntake(
            self.incoming,
            self._cache,
            job_id=job_id,
            identity=MODEL,
            chunk_size=size,
            max_texts=10_000,
            cleaned=cleaned,
            send=lambda chunks: pytest.fail("chunks are sent before all texts came in"),
            alive=lambda: None,
        )
        entries = [(place, StreamEntry(text, facts=facts)) for place, (text, facts) in enumerate(lines, 1)]
        intake.receive(Submission(entries, into=Into(stream, gold_sampled=gold_sampled)))
        return job_id, self.incoming.seal(job_id)

    def run(self, job_id: str, number: int, *, times: int = 1) -> int | None:
        """Does a chunk like a worker, so many times; returns the chunk that has to be sent then."""
        todo = self.running.todo(job_id, number)
        assert isinstance(todo, StreamTodo)
        outcomes = [outcome_of(text) for text in todo.texts]
        added = write_counted(
            counted_of(todo, outcomes, most_segments=self.most_segments, sample_size=self.sample_size)
        )
        weights = [*todo.weights, lines_of(todo) - sum(todo.weights)]
        following = None
        for _ in range(times):
            following = self.running.finish(job_id, number, [*outcomes, Failed("")], weights, MODEL, added)
        return following

    def send(self, stream: Stream, lines: Sequence[tuple[str, Facts]], *, size: int = 4, times: int = 1) -> str:
        """Takes lines in and counts them all; each chunk is delivered so many times."""
        job_id, chunks = self.take(stream, lines, size=size)
        while chunks:
            if (following := self.run(job_id, chunks.pop(), times=times)) is not None:
                chunks.append(following)
        return job_id

    def again(self, stream: Stream) -> Stream:
        """The stream as it is now."""
        return self.kept.get(stream.owner, stream.name)


@pytest.fixture
def streams(server: Stack) -> Streams:
    """Streams on an empty server."""
    return Streams(server)


def at(seconds: float, segment: str = "", **facts: object) -> Facts:
    """The facts of a text that was written so long after noon."""
    return Facts(int((NOON + seconds) * 1000), segment, **facts)  # type: ignore[arg-type]


def texts_of(counted: object) -> float:
    """The number of texts with a label."""
    return float(counted.sums[:, :3].sum())  # type: ignore[attr-defined]


def test_texts_are_counted_by_segment_and_time(streams: Streams) -> None:
    """Sums in minutes, in quarters of an hour and in all are those of the texts' scores; texts that failed or were not
    read are counted apart.
    """
    stream = streams.put()
    lines = [(f"good {n}" if n % 3 else f"bad {n}", at(50 * n, "ab"[n % 2])) for n in range(100)]
    lines += [("broken", at(0, "a")), ("nix", at(0, "a")), ("", at(0, "b")), ("x" * 3, Facts(NOON * 1000, error="no"))]
    streams.send(stream, lines)
    for segment in "ab":
        scored = [outcome_of(text) for text, facts in lines[:100] if facts.segment == segment]
        wanted = of_scores.of(np.array([one.scores for one in scored if isinstance(one, Scored)]))
        minutes, quarters = (
            streams.kept.sums(stream, [segment], NOON, NOON + 7200, unit)[segment] for unit in ("minute", "quarter")
        )
        total = streams.kept.totals(stream)[segment]
        for found in (minutes, quarters, total):
            np.testing.assert_allclose(found.sums.sum(0), wanted)
        assert set(np.diff(minutes.starts)) == {60.0, 120.0} or set(np.diff(minutes.starts)) == {60.0}
        assert set(quarters.starts % 900) == {0.0}
        assert (total.failed.sum(), total.unread.sum()) == ((1, 1) if segment == "a" else (1, 0))
    now = streams.again(stream)
    assert (now.texts, now.failed, now.unread, now.repeated) == (100, 3, 1, 0)


def test_a_chunk_that_comes_twice_is_counted_once(streams: Streams) -> None:
    """However often a chunk is delivered, its texts are counted once, and the sample has each of them once."""
    stream = streams.put()
    streams.send(stream, [(f"good {n}", at(n)) for n in range(30)], times=3)
    assert streams.again(stream).texts == texts_of(streams.kept.totals(stream)[""]) == 30
    assert len(streams.kept.sample(stream, "")) == 30


def test_an_id_is_counted_once(streams: Streams) -> None:
    """A second text with the same id, in the same chunk, another one or another job, is counted nowhere."""
    stream = streams.put()
    lines = [(f"good {n}", at(n, id=f"id{n % 20}")) for n in range(60)]
    job_id = streams.send(stream, lines, times=2)
    streams.send(stream, [("bad", at(5000, id="id7")), ("bad too", at(5000, id="new"))])
    now = streams.again(stream)
    assert (now.texts, now.repeated) == (21, 41)
    assert streams.jobs.get(job_id).repeated == 40
    assert len(streams.kept.sample(stream, "")) == 21
    assert texts_of(streams.kept.totals(stream)[""]) == 21


def test_many_ids(streams: Streams) -> None:
    """Beyond what the first level of sets holds, ids are still counted once."""
    stream = streams.put()
    streams.redis.hset(f"sentiq:s:{stream.uid}", mapping={"ids": 4790})
    first = [(f"good {n}", at(n, id=f"id{n}")) for n in range(40)]
    streams.send(stream, first, size=7)
    assert streams.redis.keys(f"sentiq:s:{stream.uid}:ids:1:*")
    streams.send(stream, first)
    assert (streams.again(stream).texts, streams.again(stream).repeated) == (40, 40)


def test_nothing_is_counted_before_all_texts_came_in(streams: Streams) -> None:
    """Chunks are held back until the job is sealed, so that a request that is refused at its end counts nothing."""
    stream = streams.put()
    job_id, chunks = streams.take(stream, [(f"good {n}", at(n)) for n in range(20)])
    assert sorted(chunks) == [0, 1]
    other = uuid.uuid4().hex
    streams.incoming.begin(other, chunk_size=4, window=2, stream=(stream.uid, stream.name))
    assert streams.running.expected() == {f"{job_id}.0", f"{job_id}.1"}


def test_the_sample_is_the_same_however_texts_come(streams: Streams) -> None:
    """The sample of texts with ids is the same in any order and in any chunks, and about every text is as likely in it
    as another.
    """
    lines = [(f"good {n}", at(n, id=str(n))) for n in range(400)]
    first, second = streams.put("first"), streams.put("second")
    streams.redis.hset(f"sentiq:s:{second.uid}", mapping={"salt": first.salt.hex()})
    second = streams.again(second)
    streams.send(first, lines, size=16)
    mixed = random.Random(1).sample(lines, len(lines))
    streams.send(second, mixed[:150], size=5)
    streams.send(second, mixed[100:], size=11)
    found = [{(entry.id, entry.time_ms) for entry in streams.kept.sample(stream, "")} for stream in (first, second)]
    assert found[0] == found[1]
    assert len(found[0]) == 50
    places = sorted((time_ms / 1000 - NOON) / 400 for _, time_ms in found[0])
    assert max(abs(place - rank / 50) for rank, place in enumerate(places)) < 0.25  # Kolmogorov, 99.7 %


def test_texts_are_kept_only_on_request(streams: Streams) -> None:
    """The sample has texts only in a stream with `keep_sample`; when that is taken back, they are removed."""
    plain, keeping = streams.put("plain"), streams.put("keeping", keep_sample=True)
    for stream in (plain, keeping):
        streams.send(stream, [("good Word", at(0, "a", author="somebody", id="number"))])
    assert [entry.text for entry in streams.kept.sample(plain, "a")] == [None]
    assert [entry.text for entry in streams.kept.sample(keeping, "a")] == ["good Word"]
    stored = b"".join(streams.redis.dump(key) for key in streams.redis.keys(f"sentiq:s:{plain.uid}*"))
    assert not [word for word in (b"Word", b"somebody", b"number") if word in stored]
    streams.put("keeping")
    assert [entry.text for entry in streams.kept.sample(keeping, "a")] == [None]


def test_texts_on_their_way_are_not_kept_either(streams: Streams) -> None:
    """When `keep_sample` is taken back, texts that came in before and are counted after that are not kept."""
    stream = streams.put(keep_sample=True)
    job_id, chunks = streams.take(stream, [("good Word", at(0, "a"))])
    streams.put(mask_segments={"a": ['"keep_sample":true']})
    for number in chunks:
        streams.run(job_id, number)
    assert [entry.text for entry in streams.kept.sample(stream, "a")] == [None]


def test_masked_scores(streams: Streams) -> None:
    """A text with the name of its segment is scored a second time without it; the Sums of both are kept."""
    stream = streams.put(mask_segments={"Bad": ["badder"]})
    streams.send(stream, [("I like badder", at(0, "Bad")), ("good", at(0, "Bad")), ("bad", at(0, "other"))])
    raw, masked = (streams.kept.totals(stream, masked=masked) for masked in (False, True))
    assert raw["Bad"].sums[0, :3].tolist() == [1, 0, 1]
    assert masked["Bad"].sums[0, :3].tolist() == [0, 0, 2]
    assert masked["other"].sums.tolist() == raw["other"].sums.tolist()
    entries = streams.kept.sample(stream, "Bad")
    assert sorted(entry.masked is None for entry in entries) == [False, True]
    assert next(entry.masked for entry in entries if entry.masked) == pytest.approx((0.1, 0.2, 0.7))


def test_segments_beyond_the_cap(streams: Streams) -> None:
    """Texts of more segments than may be are counted together, and none is lost."""
    stream = streams.put()
    streams.send(stream, [(f"good {n}", at(0, f"segment {n % 9}")) for n in range(90)])
    found = {name: texts_of(counted) for name, counted in streams.kept.totals(stream).items()}
    assert len(found) == 6
    assert found["(other)"] == 40
    assert sum(found.values()) == 90


def test_authors_are_estimated(streams: Streams) -> None:
    """Distinct authors of a time are counted, each once."""
    stream = streams.put()
    streams.send(stream, [(f"good {n}", at(n, "a", author=f"u{n % 40}")) for n in range(120)])
    assert streams.kept.authors(stream, ["a"], NOON, NOON + 1) == {"a": pytest.approx(40, abs=2)}
    assert streams.kept.authors(stream, ["a"], NOON + 86_400, NOON + 2 * 86_400) == {}


def test_deleted_with_all_that_it_kept(streams: Streams) -> None:
    """After DELETE there is no key of the stream, its unfinished jobs are gone; what they still do counts nowhere."""
    stream = streams.put(keep_sample=True)
    streams.send(stream, [(f"good {n}", at(0, "a", author="u", id=str(n))) for n in range(9)])
    job_id, chunks = streams.take(stream, [("good", at(0))])
    todo = streams.running.todo(job_id, chunks[0])
    assert isinstance(todo, StreamTodo)
    streams.kept.delete("me", "debate", streams.incoming)
    assert streams.running.todo(job_id, chunks[0]) is None
    added = write_counted(counted_of(todo, [POSITIVE], most_segments=5, sample_size=5))
    assert streams.running.finish(job_id, 0, [POSITIVE], [1], MODEL, added) is None
    assert streams.redis.keys(f"*{stream.uid}*") == []
    with pytest.raises(StreamNotFound):
        streams.again(stream)
    assert streams.again(streams.put()).texts == 0


def test_a_stream_belongs_to_its_owner(streams: Streams) -> None:
    """Two owners may have streams of one name; none sees the other's. Each may have so many and no more."""
    mine, theirs = streams.put(owner="me"), streams.put(owner="they")
    assert mine.uid != theirs.uid
    assert [stream.uid for stream in streams.kept.of("me")] == [mine.uid]
    streams.put("b")
    streams.put("c")
    with pytest.raises(TooManyStreams):
        streams.put("d")
    assert streams.put("c", ttl=500).settings.ttl == 500
    streams.kept.delete("me", "b", streams.incoming)
    streams.put("d")


def test_jobs_that_bring_texts_keep_nothing(streams: Streams) -> None:
    """When all texts are counted, neither they nor their results are left, and the job is in no list."""
    stream = streams.put()
    job_id = streams.send(stream, [("good", at(0)), ("broken", at(0))])
    job = streams.jobs.get(job_id)
    assert (job.status, job.done, job.is_passing) == ("succeeded", 2, True)
    assert streams.redis.hgetall(f"sentiq:j:{job_id}:todo") == {}
    assert set(streams.redis.hgetall(f"sentiq:j:{job_id}:in").values()) == {b""}
    assert not streams.redis.keys("celery-task-meta-*")
    assert streams.redis.ttl(f"sentiq:j:{job_id}") > 100
    assert streams.redis.smembers(f"sentiq:s:{stream.uid}:jobs") == set()
    assert streams.jobs.newest(None, None, 10)[0] == []


def test_cancelled(streams: Streams) -> None:
    """A cancelled job counts no further chunk; those that were counted stay."""
    stream = streams.put()
    job_id, chunks = streams.take(stream, [(f"good {n}", at(n)) for n in range(20)])
    streams.run(job_id, chunks[0])
    streams.jobs.cancel(job_id)
    assert streams.running.todo(job_id, chunks[1]) is None
    assert streams.again(stream).texts == 4
    with pytest.raises(JobCancelled):
        streams.incoming.append_for_stream(job_id, StreamPage(9, 0, 9, [], 0, 0))


def test_workers_of_the_version_before_leave_it() -> None:
    """A worker that does not count texts for streams cannot read such a chunk, and gives it back."""
    packed = write_todo(StreamTodo(["a"], [""], b"", b"", None, False, [1], False, 2))
    assert isinstance(read_todo(packed), StreamTodo)
    before = _reader(Todo, "a job's chunk")
    with pytest.raises(NewerFormat):
        before(zlib.decompress(packed))


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)], ids=["spring", "autumn", "summer"]
)
def test_days_of_a_zone(day: str, hours: int) -> None:
    """A day on which clocks change has 23 or 25 hours, each of its own."""
    zone = ZoneInfo("Europe/Berlin")
    begin = datetime.fromisoformat(day).replace(tzinfo=zone).timestamp()

    def begins(period: Period, *instants: float) -> list[float]:
        return list(map(float, begins_of(np.array(instants), period, zone)))

    last = begin + 3600 * hours - 1
    assert begins("day", begin + 3600 * 20, begin, last, last + 1) == [begin, begin, begin, begin + hours * 3600]
    assert end_of(begin, "day", zone) - begin == hours * 3600
    found = begins("hour", *(begin + 60 * minute for minute in range(hours * 60)))
    assert len(set(found)) == hours
    assert all(begin + 60 * minute - at == 60 * (minute % 60) for minute, at in enumerate(found))
    assert begins("minute", begin + 59) == [begin]


def test_a_stream_has_so_many_days(streams: Streams) -> None:
    """However far the times of texts lie apart, only so many days of segments have buckets of their own; texts of
    further days are counted in the totals, and more texts of the days that there are in their buckets.
    """
    stream = streams.put()
    streams.redis.sadd(f"sentiq:s:{stream.uid}:days", *(f"7:{day}" for day in range(9_999)))
    streams.send(stream, [("good", at(0, "a", author="u"))])
    before = len(streams.redis.keys(f"sentiq:s:{stream.uid}:*"))
    streams.send(stream, [("good", at(day, "a", author="u")) for day in range(86_400, 864_000, 86_400)])
    streams.send(stream, [("good", at(1, "a", author="u"))])
    assert len(streams.redis.keys(f"sentiq:s:{stream.uid}:*")) == before
    assert texts_of(streams.kept.totals(stream)["a"]) == 11
    found = streams.kept.sums(stream, ["a"], NOON, NOON + 20 * 86_400)
    assert texts_of(found["a"]) == 2
    assert streams.redis.scard(f"sentiq:s:{stream.uid}:days") == 10_000


def test_expiry(streams: Streams) -> None:
    """All that is kept of a stream expires its `ttl` after the latest text."""
    stream = streams.put(ttl=100)
    streams.send(stream, [("good", at(0, "a", author="u", id="x"))])
    ttls = {key: streams.redis.ttl(key) for key in streams.redis.keys(f"sentiq:s:{stream.uid}*")}
    assert set(ttls.values()) <= {99, 100}
    assert abs(streams.again(stream).expires_at - time.time() - 100) < 2


def test_the_bytes_that_are_kept(server: Stack) -> None:
    """What an owner's streams are counted to keep is about what the server says that they take, whatever fills them:
    many minutes, authors, ids, or the sample and its texts. What is deleted, replaced in the sample, or not kept any
    more, and minutes that are gone, count no longer.
    """
    streams = Streams(server, sample_size=300)
    kinds = {
        "minutes": [(f"good {n}", at(61 * n, "ab"[n % 2])) for n in range(3000)],
        "days": [(f"good {n}", at(-86_400 * n)) for n in range(400)],
        "authors": [(f"good {n}", at(n, author=f"u{n}")) for n in range(2000)],
        "ids": [(f"good {n}", at(0, id=f"{n}")) for n in range(4000)],
    }
    total = 0
    for name, lines in kinds.items():
        stream = streams.put(name, keep_sample=name == "days")
        streams.send(stream, lines, size=500)
        taken = streams.redis.memory_usage
        keys = [key for key in streams.redis.scan_iter(f"sentiq:s:{stream.uid}:*") if b"touched" not in key]
        found = sum(taken(key, samples=0) for key in keys if b"unseen" not in key)
        kept = streams.kept.kept_bytes("me") - total
        assert found / 1.5 < kept < found * 1.5, (name, found, kept)
        total += kept
        if name == "authors":
            streams.kept.delete("me", "minutes", streams.incoming)
            total = streams.kept.kept_bytes("me")
    assert streams.kept.kept_bytes("somebody else") == 0

    stream = streams.put("days", keep_sample=False)
    without = streams.kept.kept_bytes("me")
    assert without <= total - 300 * 100
    today, counted = int(time.time() // 86_400), f"sentiq:s:{stream.uid}:bytes"
    streams.redis.hset(counted, mapping={f"m{today - 9}": 10**9, f"q{today - 1}": 1000})
    streams.redis.hdel(counted, f"m{today}")
    assert streams.kept.kept_bytes("me") < without + 1000
    streams.send(stream, [("good", at(61 * 5000))])
    assert not streams.redis.hexists(counted, f"m{today - 9}")
    assert streams.redis.hexists(counted, f"q{today - 1}")


def test_one_script_counts_few_lines(streams: Streams) -> None:
    """However many texts a chunk may have, and however often its lines repeat them, one script counts 512 lines at the
    most, as nobody else is served meanwhile.
    """
    stream = streams.put()
    for text in ("good", "good {}"):
        job_id, chunks = streams.take(stream, [(text.format(n), at(61 * n)) for n in range(1300)], size=10_000)
        assert sorted(chunks) == [0, 1]
        counted = []
        while chunks:
            todo = streams.running.todo(job_id, chunks[-1])
            assert isinstance(todo, StreamTodo)
            counted.append(lines_of(todo))
            following = streams.run(job_id, chunks.pop())
            chunks += [] if following is None else [following]
        assert sorted(counted) == [276, 512, 512]
    assert streams.again(stream).texts == 2600
