"""A job as data: its states, its facts and its lines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from math import ceil
from sys import getsizeof
from typing import Any

import msgspec
import orjson

from model.analysis import Analysis
from model.labels import SENTIMENT
from tasks.jobs.counts import by_label, label_field
from tasks.jobs.keys import job_key
from tasks.store.outcomes import Outcome
from tasks.wire import FormatError

PAGE_LINES = 500
"""The number of lines in one page of a job's input; fewer if they reach PAGE_BYTES."""
PAGE_BYTES = 4 * 1024 * 1024
"""Bytes that the lines of a page take in memory; a page ends with the line that reaches this."""
CHUNK_BYTES = 4 * 1024 * 1024
"""Bytes that the texts of a chunk take in memory; a chunk ends with the text that reaches this."""
_RATE_FROM_S = 1.0
"""Seconds of work from which on the rate of a running job is told."""
UPLOAD_TTL_S = 120
"""Seconds that an upload may pause; after that, what has come in of it expires."""


class JobStatus(StrEnum):
    """The states of a job. An unknown id has no state: it is an error."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """Every line has a prediction or an error of its own."""
    FAILED = "failed"
    """Every line has an error."""
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One text as it was sent in, with its id and its other columns."""

    text: str
    id: str | int | None = None
    columns: tuple[str, ...] = ()
    """The other columns of its row, in the header's order; fewer, where columns were found after it."""
    error: str | None = None
    """The code of its error, if it could not be read; then `text` is the row as it stands in the file."""

    @property
    def memory_bytes(self) -> int:
        """Roughly the bytes that it takes in memory."""
        return getsizeof(self.text) + sum(map(getsizeof, self.columns))


PageLine = tuple[Entry, int | Outcome]
"""An incoming line, with its outcome if that is known, or else the index of its text among the job's unknown texts."""


@dataclass(frozen=True, slots=True)
class Source:
    """What was found out of the file that a job came from."""

    encoding: str | None = None
    """None for a spreadsheet, and for Parquet."""
    guessed: bool = False
    """Whether neither the file nor the caller said the encoding."""
    delimiter: str | None = None
    """Of a CSV file."""
    bom: bool = False
    """Whether the file began with a byte order mark."""
    sheet: str | None = None
    """The name of the sheet of a spreadsheet that was read."""
    file: str | None = None
    """The name of the file in a zip file."""


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns of an upload that has any."""

    names: tuple[str, ...]
    text: int
    """The index of the column that holds the text."""


@dataclass(frozen=True, slots=True)
class Callback:
    """The callback that reports a job's end, and the state of its delivery."""

    url: str
    state: str
    """`pending`, `delivered` or `failed`."""
    attempts: int


LinePart = tuple[int, int, Outcome | None]
"""Where a part of a line's text begins and ends, and its outcome; None while it has none."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job: the text as it was sent in, and its outcome (None while it has none)."""

    position: int
    entry: Entry
    outcome: Outcome | None
    model: str | None
    cached: bool
    sentences: tuple[LinePart, ...] = ()
    words: tuple[LinePart, ...] = ()
    """Each stands for the text without it."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job. Times are Unix seconds; counts are of lines, unless the name says otherwise. Callers see `TOLD` of it.

    Its Redis hash has a field of the same name for each of these, except where a field's docstring says otherwise, and
    no field for None or False.
    """

    id: str
    """The job's id; not in the hash."""
    created_at: float
    expires_at: float
    chunk_size: int
    """The most texts of a chunk. Chunk n begins with the text of index n * chunk_size, even if others have fewer."""
    window: int
    """The number of chunks that are under way at once."""
    owner: str | None = None
    """The name of the API key that made the job; None if the service has no keys."""
    caller: str | None = None
    """The caller among whose jobs it is counted and whose turns its chunks take; None in jobs of the version before."""
    origin: str | None = None
    """The request that made the job: see `tasks.tracing.Origin.to_json`."""
    todo_bytes: int = 0
    """The bytes of the texts of all chunks that are not done; counted by scripts alone."""
    name: str | None = None
    """What its caller calls it, mostly the name of a file; None in jobs of the version before."""
    header: Header | None = None
    """The names of columns; in the hash they are `columns` (JSON) and `text_column`."""
    source: Source | None = None
    """In the hash it is JSON; not there before all texts have come in."""
    callback_url: str | None = None
    callback_state: str | None = None
    callback_attempts: int = 0
    has_ids: bool = False
    """Whether any line came with an id."""
    total: int = 0
    done: int = 0
    """Lines that have a prediction or an error."""
    failed: int = 0
    """Lines that have an error."""
    unsupported_language: int = 0
    """Lines without a label, as the model does not read their language; they have not failed."""
    not_mentioned: int = 0
    """Lines without a label, as they do not name the job's target; they have not failed."""
    cached: int = 0
    """Lines whose prediction was in the cache when they came in."""
    duplicates: int = 0
    """Lines whose text occurs earlier in the job."""
    stream: str | None = None
    """The uid of the stream that its texts are for; None if there is none."""
    stream_name: str | None = None
    keeps: bool = False
    """Of a job with a stream: whether it has lines and results all the same."""
    repeated: int = 0
    """Lines that the stream did not count, as it had counted their ids before."""
    analysis: Analysis = SENTIMENT
    """The analysis of the job's texts: its name and its classes; in the hash see `analysis_field`."""
    requested_model: str | None = None
    """The name of the model that the caller asked for; None if it named none. In the hash it is part of the analysis.
    """
    target: str | None = None
    """What its texts are scored towards; None for no target."""
    sentences: bool = False
    """Whether each sentence gets an answer of its own."""
    explain: bool = False
    """Whether each word gets its weight."""
    labels: dict[str, int] = {}
    """Lines with a prediction, by label (all 0 if not given); in the hash they are `label0` and so on."""
    scored: int = 0
    """Lines that workers have answered."""
    chunks: int = 0
    """The number of chunks that have come in."""
    work: int = 0
    """What its chunks cost, in thousandths of a full chunk; 0 in jobs of the version before."""
    revision: int = 0
    """A number that grows with every change of the job."""
    model: str | None = None
    """The identity of the model that scored its texts; None before that."""
    sealed: float | None = None
    """The time when all texts had come in."""
    started_at: float | None = None
    progressed_at: float | None = None
    """The time when the latest chunk was done."""
    finished_at: float | None = None
    cancelled_at: float | None = None
    ended: JobStatus | None = None
    """The state in which the job has ended; None before that."""

    def __post_init__(self) -> None:
        if not self.labels:
            msgspec.structs.force_setattr(self, "labels", dict.fromkeys(self.analysis.classes, 0))

    @property
    def is_passing(self) -> bool:
        """Whether it only brings texts into a stream: it keeps neither lines nor results."""
        return self.stream is not None and not self.keeps

    @property
    def status(self) -> JobStatus:
        """The job's present state."""
        return self.ended or (JobStatus.QUEUED if self.started_at is None else JobStatus.RUNNING)

    @property
    def receiving(self) -> bool:
        """Whether texts of the job are still coming in."""
        return self.sealed is None and self.status is not JobStatus.CANCELLED

    @property
    def texts_per_s(self) -> float | None:
        """Lines that workers answered per second, since the first chunk began. None until that can be told: the first
        chunks of a running job may be small, or known by the time a worker takes them.
        """
        if not self.scored or self.started_at is None or self.progressed_at is None:
            return None
        seconds = self.progressed_at - self.started_at
        known = seconds >= _RATE_FROM_S or (seconds > 0 and self.ended is not None)
        return self.scored / seconds if known else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until the job ends at this rate; None unless it runs and all its texts have come in."""
        rate = self.texts_per_s
        if rate is None or self.sealed is None or self.status is not JobStatus.RUNNING:
            return None
        return (self.total - self.done) / rate

    @property
    def labels_key(self) -> str:
        """See `tasks.streams.labels.Sampled`."""
        return job_key(self.id)

    @property
    def labels_ttl_s(self) -> int:
        """See `tasks.streams.labels.Sampled`: until the job expires."""
        return max(1, ceil(self.expires_at - time.time()))

    @property
    def callback(self) -> Callback | None:
        """The callback that reports the job's end, if the caller wants one."""
        if self.callback_url is None:
            return None
        return Callback(self.callback_url, self.callback_state or "pending", self.callback_attempts)


TOLD = (
    "id",
    "name",
    "status",
    "receiving",
    "total",
    "done",
    "failed",
    "unsupported_language",
    "cached",
    "duplicates",
    "stream",
    "repeated",
    "labels",
    "requested_model",
    "target",
    "not_mentioned",
    "model",
    "encoding",
    "guessed",
    "delimiter",
    "sheet",
    "file",
    "texts_per_s",
    "eta_s",
    "created_at",
    "started_at",
    "finished_at",
    "expires_at",
    "callback",
)
"""The fields of a job that callers see, in this order; of these, `NOT_ALWAYS` only where there are any."""
_OF_SOURCE = ("encoding", "guessed", "delimiter", "sheet", "file")
NOT_ALWAYS = ("name", "stream", "repeated", "requested_model", "target", "not_mentioned", *_OF_SOURCE)
TOLD_AT_THE_END = tuple(name for name in TOLD if name not in ("name", "receiving", "eta_s", "callback", *_OF_SOURCE))
"""The fields of a job that a callback has."""


def job_facts(job: Job, names: tuple[str, ...] = TOLD) -> dict[str, Any]:
    """A job in the form that callers and callbacks get. Times are in RFC 3339."""
    given: dict[str, object] = {"name": job.name, "requested_model": job.requested_model, "target": job.target}
    if job.target is not None:
        given["not_mentioned"] = job.not_mentioned
    if job.stream is not None:
        given |= {"stream": job.stream_name, "repeated": job.repeated}
    if job.source is not None:
        given |= {name: getattr(job.source, name) for name in _OF_SOURCE}
        if job.source.encoding is None:
            del given["guessed"]
    return {
        name: _told(name, getattr(job, name)) if name not in NOT_ALWAYS else given[name]
        for name in names
        if name not in NOT_ALWAYS or given.get(name) is not None
    }


def _told(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return _time(value) if name.endswith("_at") else round(value, 1)
    return asdict(value) if isinstance(value, Callback) else value


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def analysis_field(analysis: Analysis, requested_model: str | None = None) -> bytes | None:
    """The form in a job's hash of what was asked of its texts: the analysis, and the model if one was named; None for
    sentiment by the default model, which jobs of the version before do not name.

    It is one field because workers of the version before look after jobs whose field is that of their analysis, and of
    a named model's jobs they must keep away.
    """
    if analysis == SENTIMENT and requested_model is None:
        return None
    facts: dict[str, object] = {"name": analysis.name, "classes": analysis.classes}
    return orjson.dumps(facts if requested_model is None else facts | {"model": requested_model})


def to_hash(job: Job) -> dict[str, str | int | float | bytes]:
    """The Redis hash of a job."""
    facts = msgspec.structs.asdict(job)
    del facts["id"]
    del facts["labels"]
    facts |= {label_field(index): job.labels[label] for index, label in enumerate(job.analysis.classes)}
    facts["analysis"] = analysis_field(job.analysis, facts.pop("requested_model"))
    if (header := facts.pop("header")) is not None:
        facts |= header_fields(header)
    if (source := facts.pop("source")) is not None:
        facts |= source_fields(source)
    kept = {name: value for name, value in facts.items() if value is not None and value is not False}
    return {name: int(value) if value is True else value for name, value in kept.items()}


def header_fields(header: Header) -> dict[str, bytes | int]:
    """The names of columns as fields of a job's hash."""
    return {"columns": orjson.dumps(header.names), "text_column": header.text}


def source_fields(source: Source) -> dict[str, bytes]:
    """What was found out of a file as a field of a job's hash."""
    return {"source": orjson.dumps(source)}


def from_hash(job_id: str, stored: Mapping[bytes, bytes]) -> Job:
    """The job that a Redis hash holds.

    Raises:
        FormatError: it is damaged, or was written by a version that is not next to this one.
    """
    try:
        return _from_hash(job_id, stored)
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError("a job that cannot be read") from error


def _from_hash(job_id: str, stored: Mapping[bytes, bytes]) -> Job:
    facts: dict[str, Any] = {name.decode(): value.decode() for name, value in stored.items()}
    if "ended" not in facts:  # the version before this one did not store it; the version after this one may drop this
        if "cancelled_at" in facts:
            facts["ended"] = JobStatus.CANCELLED
        elif "finished_at" in facts:
            facts["ended"] = JobStatus.FAILED if facts["failed"] == facts["total"] else JobStatus.SUCCEEDED
    if "cancelled_at" in facts:
        facts["finished_at"] = facts["cancelled_at"]
    if "columns" in facts:
        facts["header"] = {"names": orjson.loads(facts["columns"]), "text": facts["text_column"]}
    if "source" in facts:
        facts["source"] = orjson.loads(facts["source"])
    if "analysis" in facts:
        facts["analysis"] = orjson.loads(facts["analysis"])
        facts["requested_model"] = facts["analysis"].pop("model", None)
    classes = facts["analysis"]["classes"] if "analysis" in facts else SENTIMENT.classes
    return msgspec.convert(facts | {"id": job_id, "labels": by_label(facts, classes)}, Job, strict=False)
