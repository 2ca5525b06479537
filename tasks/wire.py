"""Every format in which one process leaves something for another: declared, written and read here, and nowhere else.

A worker or a web process may meet what one of another version has written: in a rolling upgrade both run side by side.

- What is written can be read by the version before. An object may get a new field that has a default: readers skip what
  they do not know. `PageRow` may get one at its end.
- An object has a version, `v`; without one it is 1. It is raised only for what an earlier reader would misread, and
  written only by the version after the one whose readers know it. An array is version 1 by its form: whatever replaces
  it is an object with a `v`. A new form of outcome rows raises the version of everything that holds rows.
- Whatever cannot be read raises `FormatError`; if it is of a later version, `NewerFormat`. Then a chunk goes back into
  the queue for a worker that knows it, a prediction in the cache counts as none, a worker mark is left out, the web
  looks into the cache after a reply, and a job's lines are for another web process to show.

Not here: the headers of a chunk's message (`tasks.tracing`, `tasks.queue.app`), which a chunk can do without, and a
job's own hash (`tasks.jobs.job`), whose fields scripts read one by one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from tasks.store.outcomes import Failed, Outcome, Scored

T = TypeVar("T")

V1: TypeAlias = Literal[1]
Row: TypeAlias = tuple[float, ...] | str
"""An outcome: `[*scores, truncated]` with one score for each class, or an error's code."""

_encode = msgspec.json.Encoder().encode


class FormatError(Exception):
    """What another process has left cannot be read. The message holds nothing of it."""


class NewerFormat(FormatError):
    """It is of a later version, whose processes can read it."""


class _Version(Struct):
    v: int


def _unreadable(what: str, version: Callable[[], _Version]) -> FormatError:
    try:
        v = version().v
    except (ValueError, RecursionError):
        v = 1
    return NewerFormat(f"{what} of version {v}") if v > 1 else FormatError(f"{what} that cannot be read")


def _reader(form: Any, what: str) -> Callable[[bytes], Any]:
    decode = msgspec.json.Decoder(form).decode
    version = msgspec.json.Decoder(_Version).decode

    def read(raw: bytes) -> Any:
        try:
            return decode(raw)
        except (ValueError, RecursionError) as error:
            raise _unreadable(what, lambda: version(raw)) from error

    return read


# Outcomes


def to_row(outcome: Outcome) -> Row:
    """The row of an outcome."""
    return (*outcome.scores, int(outcome.truncated)) if isinstance(outcome, Scored) else outcome.code


def from_row(row: Row) -> Outcome:
    """The outcome of a row that was read."""
    if isinstance(row, str):
        return Failed(row)
    if len(row) < 2 or row[-1] not in (0, 1):
        raise FormatError("an outcome that cannot be read")
    return Scored(row[:-1], row[-1] == 1)


_row: Callable[[bytes], Row] = _reader(Row, "an outcome")


def write_outcome(outcome: Outcome) -> bytes:
    """An outcome as the cache keeps it; no longer than it has to be, and composed into replies by a script."""
    return _encode(to_row(outcome))


def read_outcome(raw: bytes) -> Outcome:
    """The reverse of `write_outcome`."""
    return from_row(_row(raw))


class Reply(Struct, frozen=True):
    """What a worker sends back to a web process: the model that scored, and outcomes by digest."""

    model: str
    outcomes: dict[str, Outcome]


class _Reply(Struct, frozen=True):
    model: str
    rows: dict[str, Row]
    v: V1 = 1


_reply: Callable[[bytes], _Reply] = _reader(_Reply, "a reply")


def read_reply(raw: bytes) -> Reply:
    """A reply that the script `_SETTLE` of `tasks.store.cache` has composed of rows."""
    found = _reply(raw)
    return Reply(found.model, {digest: from_row(row) for digest, row in found.rows.items()})


# Chunks, as the queue carries them


class TextsChunk(Struct, frozen=True, tag_field="kind", tag="texts"):
    """Texts of callers who wait."""

    tag: str
    """The model name and revision that is asked for."""
    texts: list[str]
    v: V1 = 1


class JobChunk(Struct, frozen=True, tag_field="kind", tag="job"):
    """A part of a job, whose texts are in the job store."""

    tag: str
    job: str
    n: int
    v: V1 = 1


Chunk = TextsChunk | JobChunk


def write_chunk(chunk: Chunk) -> dict[str, Any]:
    """A chunk as the argument of a Celery task, which Celery makes JSON of."""
    message: dict[str, Any] = msgspec.to_builtins(chunk)
    return message


def read_chunk(message: object) -> Chunk:
    """The reverse of `write_chunk`. The version before names no kind."""
    kind = message.get("kind", "job" if "job" in message else "texts") if isinstance(message, dict) else None
    form: type[Any] = JobChunk if kind == "job" else TextsChunk  # msgspec chooses from a union ten times as slowly
    try:
        chunk: Chunk = msgspec.convert(message, form)
    except ValueError as error:
        raise _unreadable("a chunk", lambda: msgspec.convert(message, _Version)) from error
    return chunk


# Jobs, as the job store keeps them


class Todo(Struct, frozen=True, array_like=True):
    """A chunk of a job that is to be scored."""

    texts: list[str]
    weights: list[int]
    """For each text the number of lines that it answers."""


class PageRow(Struct, frozen=True, array_like=True):
    """One line of a job."""

    text: str
    """As it was sent in."""
    where: int | Row
    """Its outcome if that was known, else the number of its text among the job's unknown texts."""
    id: str | int | None = None
    columns: tuple[str, ...] = ()
    """The other columns of its CSV row, in the header's order."""


class StoredPage(Struct, frozen=True, array_like=True):
    """Lines of a job in input order."""

    model: str | None
    """That of the outcomes that were known."""
    rows: list[PageRow]


class ChunkResult(Struct, frozen=True):
    """The outcomes of a job's chunk, in the order of its texts."""

    model: str
    rows: Sequence[Row]
    v: V1 = 1


class _Meta(Struct, frozen=True):
    result: msgspec.Raw


class KeyUse(Struct, frozen=True, array_like=True):
    """The job that an Idempotency-Key made."""

    job: str
    fingerprint: str | None
    """Of the request; None while it comes in."""


_todo: Callable[[bytes], Todo] = _reader(Todo, "a job's chunk")
_page: Callable[[bytes], StoredPage] = _reader(StoredPage, "a page of a job")
_meta: Callable[[bytes], _Meta] = _reader(_Meta, "a chunk's result")
_result: Callable[[bytes], ChunkResult] = _reader(ChunkResult, "a chunk's result")
_key_use: Callable[[bytes], KeyUse] = _reader(KeyUse, "the use of an Idempotency-Key")


def _unpacked(raw: bytes, what: str) -> bytes:
    try:
        return zlib.decompress(raw)
    except zlib.error as error:
        raise FormatError(f"{what} that cannot be unpacked") from error


def write_todo(todo: Todo) -> bytes:
    """A chunk's texts, packed."""
    return zlib.compress(_encode(todo), 1)


def read_todo(raw: bytes) -> Todo:
    """The reverse of `write_todo`."""
    todo = _todo(_unpacked(raw, "a job's chunk"))
    if len(todo.texts) != len(todo.weights):
        raise FormatError("a job's chunk whose texts and weights differ in number")
    return todo


def write_page(page: StoredPage) -> bytes:
    """A page, packed."""
    return zlib.compress(_encode(page), 1)


def read_page(raw: bytes) -> StoredPage:
    """The reverse of `write_page`."""
    return _page(_unpacked(raw, "a page of a job"))


def write_result(task_id: str, result: ChunkResult) -> bytes:
    """A chunk's result in the form of Celery's result backend, which any client of Celery reads."""
    meta = {"status": "SUCCESS", "result": result, "traceback": None, "children": []}
    return _encode(meta | {"date_done": datetime.now(UTC).isoformat(), "task_id": task_id})


def read_result(raw: bytes) -> ChunkResult:
    """The reverse of `write_result`."""
    return _result(_meta(raw).result)


def write_key_use(use: KeyUse) -> bytes:
    """The use of an Idempotency-Key."""
    return _encode(use)


def read_key_use(raw: bytes) -> KeyUse:
    """The reverse of `write_key_use`."""
    return _key_use(raw)


# Workers


class WorkerMark(Struct, frozen=True):
    """What a ready worker says of itself."""

    id: str
    role: str
    """`interactive` or `batch`."""
    model: str
    """The model identity."""
    tag: str
    """The model name and revision that it was asked for."""
    device: str
    texts_per_s: float
    """The engine's rate on short texts, measured at its start."""
    started_at: float
    """Unix seconds."""
    host: str = ""
    """The name of its machine."""
    v: V1 = 1


_SINCE_MARK_BEFORE = ("host", "v")
_mark: Callable[[bytes], WorkerMark] = _reader(WorkerMark, "a worker mark")


def write_mark(mark: WorkerMark) -> bytes:
    """A worker mark."""
    return _encode(mark)


def write_mark_before(mark: WorkerMark) -> bytes:
    """A worker mark for the version before, whose web processes stumble over a field that they do not know."""
    facts = msgspec.structs.asdict(mark)
    return _encode({name: value for name, value in facts.items() if name not in _SINCE_MARK_BEFORE})


def read_mark(raw: bytes) -> WorkerMark:
    """The reverse of `write_mark`, and of `write_mark_before`: there the host is in the id, `role-host-pid-random`."""
    mark = _mark(raw)
    if mark.host:
        return mark
    return msgspec.structs.replace(mark, host=mark.id.removeprefix(f"{mark.role}-").rsplit("-", 2)[0])
