"""Jobs whose texts are coming in: the web processes store them page by page."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from model.analysis import Analysis
from model.labels import SENTIMENT
from tasks.errors import (
    JobCancelled,
    JobNotFound,
    JobTooLarge,
    StorageFull,
    StorageQuotaExceeded,
    StreamNotFound,
    TooManyJobs,
    UploadTooSlow,
)
from tasks.jobs.counts import field_of, growth
from tasks.jobs.job import UPLOAD_TTL_S, Entry, Header, Job, PageLine, Source, header_fields, source_fields, to_hash
from tasks.jobs.keys import chunk_id
from tasks.jobs.results import ResultBackend
from tasks.jobs.scripts import JobScript
from tasks.store.connections import Client
from tasks.store.memory import JOBS_SHARE, Memory
from tasks.store.outcomes import Outcome
from tasks.streams.keys import stream_key
from tasks.tracing import NOBODY, Origin
from tasks.wire import (
    PageRow,
    PartRow,
    StoredPage,
    StreamTodo,
    Todo,
    read_todo,
    to_remarks,
    to_row,
    write_page,
    write_todo,
)

JOB_BYTES = 2048
"""What a job counts for that has no lines: about the memory of its keys and of its places in lists."""
_IN_LISTS_S = 86_400
"""Seconds that an expired job stays in lists; it is no longer shown."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the jobs of one caller may keep and do."""

    kept_bytes: int
    unfinished: int
    """The number of jobs that have not ended."""


NO_LIMIT = Allowance(2**53, 2**53)


PagePart = tuple[int, int, int | Outcome | None]
"""Where a part of a line's text begins and ends, and its outcome or the number of its text; None if it has no outcome.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a line's text that have outcomes of their own."""

    sentences: Sequence[PagePart]
    words: Sequence[PagePart]


@dataclass(frozen=True, slots=True)
class Page:
    """The next lines of a job that is coming in, and the chunks that they have filled."""

    number: int
    lines: Sequence[PageLine]
    model: str | None
    """The identity of the model that the known outcomes come from."""
    first_chunk: int
    """The number of the first of `chunks`."""
    chunks: Sequence[Todo]
    late: Mapping[int, Mapping[int, int]]
    """How many lines of this page repeat a text of a chunk stored before: {chunk: {text's index in it: lines}}."""
    cached: int
    duplicates: int
    uneven: bool = False
    """Whether this page, or one before it, has other than PAGE_LINES lines although more lines may follow."""
    work: int = 0
    """What `chunks` cost, in thousandths of a full chunk."""
    parts: Mapping[int, Parts] = field(default_factory=dict)
    """Of lines whose texts have parts, by the line's place in the page."""


@dataclass(frozen=True, slots=True)
class StreamPage:
    """The next lines of a job whose texts are for a stream. The lines are in its chunks."""

    number: int
    lines: int
    first_chunk: int
    """The number of the first of `chunks`."""
    chunks: Sequence[StreamTodo]
    duplicates: int
    work: int
    """See `Page`."""
    kept: Sequence[PageLine] = ()
    """The lines, if the job keeps them."""


class IncomingJobs:
    """Stores jobs while their texts come in. Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client, results: ResultBackend, *, ttl_s: int, allowance: Allowance = NO_LIMIT) -> None:
        """Makes a store.

        Args:
            client: connected to the server of the jobs.
            results: the results of chunks, on the same server.
            ttl_s: the seconds that a job lives once all its texts have come in.
            allowance: what the jobs of each caller may keep and do.
        """
        self._client = client
        self._results = results
        self._ttl_s = ttl_s
        self._allowance = allowance
        self._memory = Memory(client)
        self._begin = JobScript(client, "begin")
        self._append = JobScript(client, "append")
        self._count_late = JobScript(client, "count_late")
        self._seal = JobScript(client, "seal")
        self._touch = JobScript(client, "touch")
        self._remove = JobScript(client, "remove")

    def begin(
        self,
        job_id: str,
        *,
        chunk_size: int,
        window: int,
        name: str | None = None,
        callback_url: str | None = None,
        header: Header | None = None,
        owner: str | None = None,
        caller: str | None = None,
        origin: Origin = NOBODY,
        analysis: Analysis = SENTIMENT,
        requested_model: str | None = None,
        target: str | None = None,
        sentences: bool = False,
        explain: bool = False,
        stream: tuple[str, str] | None = None,
        keeps: bool = False,
    ) -> None:
        """Makes an empty job; its texts follow. `name`: what its caller calls it; `caller`: whose turns its chunks
        take; `origin`: who asked for it; `requested_model`: the name of the model that was asked for; the next three:
        see `tasks.submit.asked.Asked`; `stream`: uid and name of the stream that its texts are for; `keeps`: whether
        it keeps lines all the same.

        Raises:
            TooManyJobs, StorageQuotaExceeded: the caller has no room for it.
            StorageFull: the server has none.
            StreamNotFound: the stream that its texts are for is gone.
        """
        now = time.time()
        job = Job(
            id=job_id,
            created_at=now,
            expires_at=now + UPLOAD_TTL_S,
            chunk_size=chunk_size,
            window=window,
            owner=owner,
            caller=caller,
            origin=origin.to_json(),
            name=name,
            header=header,
            callback_url=callback_url,
            analysis=analysis,
            requested_model=requested_model,
            target=target,
            sentences=sentences,
            explain=explain,
            stream=stream[0] if stream is not None else None,
            stream_name=stream[1] if stream is not None else None,
            keeps=keeps,
        )
        self._require_room()
        facts = [part for fact in to_hash(job).items() for part in fact]
        size = JOB_BYTES + sum(len(part) for part in facts if isinstance(part, str | bytes))
        most = self._allowance
        answer = self._begin(
            job_id, UPLOAD_TTL_S, self._ttl_s + _IN_LISTS_S, size, most.kept_bytes, most.unfinished, *facts
        )
        if answer == b"busy":
            raise TooManyJobs(most.unfinished)
        if answer == b"gone":
            raise StreamNotFound
        self._raise_if_full(answer)

    def _require_room(self) -> None:
        if not self._memory.has_room(JOBS_SHARE):
            raise StorageFull

    def _raise_if_full(self, answer: Any) -> None:
        if isinstance(answer, list) and answer[0] == b"full":
            quota_bytes = self._allowance.kept_bytes
            others_bytes, own_bytes, expires_ms = answer[1:]
            if own_bytes > quota_bytes:
                raise JobTooLarge.to_be_kept(quota_bytes)
            raise StorageQuotaExceeded.by_jobs(others_bytes, quota_bytes, max(1, math.ceil(expires_ms / 1000)))

    def append(self, job_id: str, page: Page) -> list[int]:
        """Stores a page and its chunks; returns the numbers of the chunks that have to be sent now.

        Raises:
            JobCancelled: the job was cancelled meanwhile.
            UploadTooSlow: the previous page was too long ago, and the job has expired.
            StorageQuotaExceeded, JobTooLarge: the caller has no room for the page.
            StorageFull: the server has none.
        """
        self._require_room()
        counts = growth(Counter(field_of(where) for _, where in page.lines if not isinstance(where, int)))
        counts |= {"total": len(page.lines), "cached": page.cached, "duplicates": page.duplicates}
        counts |= {"work": page.work}
        brought: dict[str, str | int] = {} if page.model is None or not page.cached else {"model": page.model}
        if any(entry.id is not None for entry, _ in page.lines):
            brought["has_ids"] = 1
        answer = self._append(
            job_id,
            UPLOAD_TTL_S,
            page.number,
            write_page(
                StoredPage(page.model, [_row(*line, page.parts.get(place)) for place, line in enumerate(page.lines)]),
                uneven=page.uneven,
            ),
            int(page.uneven),
            _json(page.late),
            _json(counts),
            _json(brought),
            self._allowance.kept_bytes,
            page.first_chunk,
            *map(write_todo, page.chunks),
        )
        if answer == b"gone":
            raise UploadTooSlow
        if answer == b"cancelled":
            raise JobCancelled
        self._raise_if_full(answer)
        to_send, settled = answer
        if settled:
            self._count_settled(job_id, page, settled)
        return list(to_send)

    def append_for_stream(self, job_id: str, page: StreamPage) -> None:
        """Stores a page of lines for a stream, and its chunks, which are held back until the job is sealed.

        Raises: as `append`.
        """
        self._require_room()
        counts = {"total": page.lines, "duplicates": page.duplicates, "work": page.work, "revision": 1}
        rows = [_row(*line, None) for line in page.kept]
        answer = self._append(
            job_id,
            UPLOAD_TTL_S,
            page.number,
            write_page(StoredPage(None, rows)) if rows else b"",
            0,
            b"{}",
            _json(counts),
            b"{}",
            self._allowance.kept_bytes,
            page.first_chunk,
            *map(write_todo, page.chunks),
        )
        if answer == b"gone":
            raise UploadTooSlow
        if answer == b"cancelled":
            raise JobCancelled
        self._raise_if_full(answer)

    def _count_settled(self, job_id: str, page: Page, chunks: Sequence[int]) -> None:
        results = self._results.fetch([chunk_id(job_id, chunk) for chunk in chunks])
        lines: Counter[str] = Counter()
        for chunk, result in zip(chunks, results, strict=True):
            if result is None:
                raise JobNotFound  # results are stored before a chunk counts as done, so this one was deleted
            for text, repeated in page.late[chunk].items():
                lines[field_of(result.outcome(text))] += repeated
        self._count_late(job_id, page.number, _json(growth(lines)))

    def require_stream(self, uid: str) -> None:
        """Checks that the stream is there that texts are for. Raises StreamNotFound."""
        if not self._client.exists(stream_key(uid)):
            raise StreamNotFound

    def touch(self, job_id: str) -> None:
        """Keeps a job alive whose texts are coming in slowly."""
        self._touch(job_id, UPLOAD_TTL_S)

    def seal(self, job_id: str, header: Header | None = None, source: Source | None = None) -> list[int]:
        """Notes that all texts have come in; from now on the job lives for its TTL. Returns the numbers of the chunks
        that have to be sent now: those of a job for a stream were held back.

        Args:
            job_id: the job.
            header: its columns, where more were found than the job began with.
            source: what was found out of its file.

        Raises:
            UploadTooSlow: the previous page was too long ago, and the job has expired.
        """
        facts: dict[str, bytes | int] = {} if header is None else header_fields(header)
        if source is not None:
            facts |= source_fields(source)
        answer = self._seal(job_id, self._ttl_s, *(part for fact in facts.items() for part in fact))
        if answer == b"gone":
            raise UploadTooSlow
        return list(answer)

    def discard(self, job_id: str) -> int | None:
        """Deletes a job whose texts did not come in completely.

        Returns:
            The number of its lines that were answered, and so could be read, or whose texts were being scored; None if
            the job was gone already.
        """
        answer = self._remove(job_id, 0)
        if answer == b"gone":
            return None
        done, answered, repeated, packed = answer
        self._results.forget([chunk_id(job_id, int(chunk)) for chunk in done])
        under_way = sum(sum(read_todo(texts).weights) for texts in packed)
        return int(answered + repeated + under_way)


def _row(entry: Entry, where: int | Outcome, parts: Parts | None) -> PageRow:
    stored, remarks = (where, None) if isinstance(where, int) else (to_row(where), to_remarks(where))
    if parts is None:
        return PageRow(entry.text, stored, entry.id, entry.columns, remarks)
    sentences, words = _part_rows(parts.sentences), _part_rows(parts.words)
    return PageRow(entry.text, stored, entry.id, entry.columns, remarks, sentences, words)


def _part_rows(parts: Sequence[PagePart]) -> tuple[PartRow, ...]:
    return tuple(
        (start, end, where if where is None or isinstance(where, int) else to_row(where)) for start, end, where in parts
    )


def _json(value: Mapping[Any, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
