"""All data formats that pass between processes: declared, written and read here, and nowhere else.

During a rolling upgrade, workers and web processes of two versions run side by side and read each other's data. Hence:

- The version before can read what this version writes. An object may get a new field that has a default, as readers
  skip fields that they do not know. `PageRow` may get a new field at its end.
- An object has a version, `v`; without one it is version 1. The version is raised only for a form that an earlier
  reader would misread, and that form is written only by the release after the one whose readers know it. An array is
  always version 1: what replaces it is an object with a `v`. The one form that is written although the version before
  cannot read it is a job's uneven page (`write_page`): until the upgrade is over, web processes of this version have
  to show such lines. A new form of outcome rows raises the version of every
  format that contains rows.
- What is said of a text besides its row (`tasks.store.outcomes.Remarks`) stands beside the rows, in fields of its own,
  so that the version before reads the rows. `Remarks` may get new fields. In the cache, where a row was all there was,
  one with remarks is an object of version 2: for web processes of the version before it is missing, and they send the
  text to a worker, which finds it there or scores it again.
- Data that cannot be read raises `FormatError`; if it is of a later version, `NewerFormat`. In that case, a chunk goes
  back into the queue for a worker that can read it, a prediction in the cache counts as missing, a worker mark is left
  out, a reply makes the web process look into the cache, and a job's lines have to be shown by another web process.

Not here: the headers of a chunk's message (`tasks.tracing`, `tasks.queue.app`), which a chunk can do without, and what
scripts read and write field by field: a job's hash (`tasks.jobs.job`) and its list of pages (`tasks.jobs.kept`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from model.description import Description
from tasks.store.outcomes import NO_REMARKS, Failed, Outcome, Remarks, Scored

T = TypeVar("T")

V1: TypeAlias = Literal[1]
Row: TypeAlias = tuple[float, ...] | str
"""The form of an outcome: `[*scores, truncated]` with one score for each class, or the code of an error."""

_encode = msgspec.json.Encoder().encode


class FormatError(Exception):
    """Data that another process wrote cannot be read. The message does not quote the data."""


class NewerFormat(FormatError):
    """The data has a later version, which processes of that version can read."""


class _Version(Struct):
    v: int


def _unreadable(what: str, version: Callable[[], _Version], known: int = 1) -> FormatError:
    try:
        v = version().v
    except (ValueError, RecursionError):
        v = 1
    return NewerFormat(f"{what} of version {v}") if v > known else FormatError(f"{what} that cannot be read")


def _reader(form: Any, what: str, known: int = 1) -> Callable[[bytes], Any]:
    """`known`: the latest version that the form reads."""
    decode = msgspec.json.Decoder(form).decode
    version = msgspec.json.Decoder(_Version).decode

    def read(raw: bytes) -> Any:
        try:
            return decode(raw)
        except (ValueError, RecursionError) as error:
            raise _unreadable(what, lambda: version(raw), known) from error

    return read


# Outcomes


def to_row(outcome: Outcome) -> Row:
    """Turns an outcome into a row."""
    return (*outcome.scores, int(outcome.truncated)) if isinstance(outcome, Scored) else outcome.code


def to_remarks(outcome: Outcome) -> Remarks | None:
    """What stands beside an outcome's row; None if there is nothing."""
    if isinstance(outcome, Scored) and outcome.remarks != NO_REMARKS:
        return outcome.remarks
    return None


def from_row(row: Row, remarks: Remarks | None = None) -> Outcome:
    """Turns a row, and what stands beside it, into an outcome; the reverse of `to_row` and `to_remarks`."""
    if isinstance(row, str):
        return Failed(row)
    if len(row) < 2 or row[-1] not in (0, 1):
        raise FormatError("an outcome that cannot be read")
    return Scored(row[:-1], row[-1] == 1, remarks or NO_REMARKS)


class _RowWithRemarks(Struct, frozen=True):
    """A prediction with remarks, in the cache; `cache_settle.lua` composes it."""

    row: Row
    remarks: Remarks
    v: Literal[2]


_cached: Callable[[bytes], Row | _RowWithRemarks] = _reader(Row | _RowWithRemarks, "an outcome", known=2)


def write_row(outcome: Outcome) -> bytes:
    """An outcome's row, which the script `cache_settle.lua` composes into predictions and replies."""
    return _encode(to_row(outcome))


def write_remarks(outcome: Outcome) -> bytes:
    """What stands beside an outcome's row, for the same script; empty if there is nothing."""
    remarks = to_remarks(outcome)
    return b"" if remarks is None else _encode(remarks)


def read_cached(raw: bytes) -> Outcome:
    """Reads what the script `cache_settle.lua` has stored of an outcome."""
    found = _cached(raw)
    return from_row(found.row, found.remarks) if isinstance(found, _RowWithRemarks) else from_row(found)


class Reply(Struct, frozen=True):
    """A worker's answer to a web process: the identity of the model that scored, and outcomes by digest."""

    model: str
    outcomes: dict[str, Outcome]


class _Reply(Struct, frozen=True):
    model: str
    rows: dict[str, Row]
    v: V1 = 1
    remarks: dict[str, Remarks] = {}
    """By digest, of those outcomes that have any."""


_reply: Callable[[bytes], _Reply] = _reader(_Reply, "a reply")


def read_reply(raw: bytes) -> Reply:
    """Reads a reply, which the script `cache_settle.lua` has composed of rows."""
    found = _reply(raw)
    remarks = found.remarks
    return Reply(found.model, {digest: from_row(row, remarks.get(digest)) for digest, row in found.rows.items()})


# Chunks, in the messages of the queue


class TextsChunk(Struct, frozen=True, tag_field="kind", tag="texts"):
    """A chunk of the texts of waiting callers."""

    tag: str
    """The model tag: the name and revision that are asked for."""
    texts: list[str]
    v: V1 = 1
    caller: str = ""
    """A digest that is the same in all chunks with texts of this caller alone; empty if there are texts of several."""


class JobChunk(Struct, frozen=True, tag_field="kind", tag="job"):
    """A chunk of a job, whose texts are in the job store."""

    tag: str
    """The model tag: the name and revision that are asked for."""
    job: str
    """The job's id."""
    n: int
    """The chunk's number in the job, from 0."""
    v: V1 = 1


Chunk = TextsChunk | JobChunk


def write_chunk(chunk: Chunk) -> dict[str, Any]:
    """A chunk as the argument of a Celery task, which Celery encodes as JSON."""
    message: dict[str, Any] = msgspec.to_builtins(chunk)
    return message


def read_chunk(message: object) -> Chunk:
    """The reverse of `write_chunk`. It also reads chunks of the version before, which have no `kind`."""
    kind = message.get("kind", "job" if "job" in message else "texts") if isinstance(message, dict) else None
    form: type[Any] = JobChunk if kind == "job" else TextsChunk  # with a union, msgspec takes ten times as long
    try:
        chunk: Chunk = msgspec.convert(message, form)
    except ValueError as error:
        raise _unreadable("a chunk", lambda: msgspec.convert(message, _Version)) from error
    return chunk


# Jobs, in the job store


class Todo(Struct, frozen=True, array_like=True):
    """The content of a job's chunk that waits to be scored."""

    texts: list[str]
    """The cleaned texts."""
    weights: list[int]
    """For each text, the number of lines that it answers."""


class StreamTodo(Struct, frozen=True):
    """The content of a chunk whose texts are for a stream. Workers of the version before leave it to those of this one,
    as they would not count it.
    """

    texts: list[str]
    """The cleaned texts, and those of them in which the name of a line's segment was masked."""
    segments: list[str]
    lines: bytes
    """`tasks.streams.lines.LINE` of each."""
    salt: bytes
    """Of the stream."""
    sent: list[str] | None
    """The text of each line as it was sent, if the stream keeps texts."""
    gold_sampled: bool
    """Whether the lines with labels of their own were chosen at random."""
    weights: list[int]
    """For each text, the number of lines that it answers."""
    keeps: bool
    """Whether the job keeps the outcomes."""
    v: Literal[2]


PartRow: TypeAlias = tuple[int, int, int | Row | None]
"""Where a part of a text begins and ends, and where its outcome is, as of a `PageRow`; None if it has none."""


class PageRow(Struct, frozen=True, array_like=True):
    """One line of a job."""

    text: str
    """The text as it was sent in."""
    where: int | Row
    """The line's outcome if it was known, or else the number of its text: chunk x chunk size + place in the chunk."""
    id: str | int | None = None
    columns: tuple[str, ...] = ()
    """The other columns of the line's CSV row, in the header's order."""
    remarks: Remarks | None = None
    """What stands beside the outcome, if it was known and there is anything."""
    sentences: tuple[PartRow, ...] = ()
    words: tuple[PartRow, ...] = ()


class StoredPage(Struct, frozen=True, array_like=True):
    """A page of a job's lines, in input order."""

    model: str | None
    """The identity of the model that the known outcomes come from."""
    rows: list[PageRow]


class _UnevenPage(Struct, frozen=True):
    """A page whose lines cannot be found by the rule that each page has the same number of them."""

    model: str | None
    rows: list[PageRow]
    v: Literal[2]


class ChunkResult(Struct, frozen=True):
    """The outcomes of a job's chunk, in the order of its texts."""

    model: str
    """The identity of the model that scored."""
    rows: Sequence[Row]
    v: V1 = 1
    remarks: Sequence[Remarks | None] = []
    """What stands beside each row; empty in results of the version before."""

    def outcome(self, place: int) -> Outcome:
        """The outcome of the text at a place, from 0."""
        return from_row(self.rows[place], self.remarks[place] if self.remarks else None)


def chunk_result(model: str, outcomes: Sequence[Outcome]) -> ChunkResult:
    """A result in the form in which it is stored."""
    remarks = list(map(to_remarks, outcomes))
    return ChunkResult(model, list(map(to_row, outcomes)), remarks=remarks if any(remarks) else [])


class _Meta(Struct, frozen=True):
    result: msgspec.Raw


class KeyUse(Struct, frozen=True, array_like=True):
    """The use of an Idempotency-Key."""

    job: str
    """The id of the job that the key made."""
    fingerprint: str | None
    """The hash of the request; None while the request is coming in."""


_todo: Callable[[bytes], Todo] = _reader(Todo, "a job's chunk")
_stream_todo: Callable[[bytes], StreamTodo] = _reader(StreamTodo, "a stream's chunk", known=2)
_page: Callable[[bytes], StoredPage] = _reader(StoredPage, "a page of a job")
_uneven_page: Callable[[bytes], _UnevenPage] = _reader(_UnevenPage, "a page of a job", known=2)
_meta: Callable[[bytes], _Meta] = _reader(_Meta, "a chunk's result")
_result: Callable[[bytes], ChunkResult] = _reader(ChunkResult, "a chunk's result")
_key_use: Callable[[bytes], KeyUse] = _reader(KeyUse, "the use of an Idempotency-Key")


def _unpacked(raw: bytes, what: str) -> bytes:
    try:
        return zlib.decompress(raw)
    except zlib.error as error:
        raise FormatError(f"{what} that cannot be unpacked") from error


def write_todo(todo: Todo | StreamTodo) -> bytes:
    """The content of a chunk, compressed."""
    return zlib.compress(_encode(todo), 1)


def read_todo(raw: bytes) -> Todo | StreamTodo:
    """The reverse of `write_todo`."""
    found = _unpacked(raw, "a job's chunk")
    todo = _stream_todo(found) if found.startswith(b"{") else _todo(found)
    if len(todo.texts) != len(todo.weights):
        raise FormatError("a job's chunk whose texts and weights differ in number")
    return todo


def write_page(page: StoredPage, *, uneven: bool = False) -> bytes:
    """A page, compressed.

    Args:
        page: the page.
        uneven: whether this page, or one before it, has another number of lines than the rule says. The version before
            would read the wrong lines, so it must not be able to read such pages: hence their version 2.
    """
    return zlib.compress(_encode(_UnevenPage(page.model, page.rows, 2) if uneven else page), 1)


def read_page(raw: bytes) -> StoredPage:
    """The reverse of `write_page`."""
    found = _unpacked(raw, "a page of a job")
    if not found.startswith(b"{"):
        return _page(found)
    page = _uneven_page(found)
    return StoredPage(page.model, page.rows)


def write_result(task_id: str, result: ChunkResult) -> bytes:
    """A chunk's result in the form of Celery's result backend, which any Celery client can read."""
    meta = {"status": "SUCCESS", "result": result, "traceback": None, "children": []}
    return _encode(meta | {"date_done": datetime.now(UTC).isoformat(), "task_id": task_id})


def read_result(raw: bytes) -> ChunkResult:
    """The reverse of `write_result`."""
    result = _result(_meta(raw).result)
    if result.remarks and len(result.remarks) != len(result.rows):
        raise FormatError("a chunk's result whose rows and remarks differ in number")
    return result


def write_key_use(use: KeyUse) -> bytes:
    """The use of an Idempotency-Key, encoded."""
    return _encode(use)


def read_key_use(raw: bytes) -> KeyUse:
    """The reverse of `write_key_use`."""
    return _key_use(raw)


# Workers


class WorkerMark(Struct, frozen=True):
    """The facts that a ready worker announces."""

    id: str
    role: str
    """The worker's role: `interactive` or `batch`."""
    model: str
    """The model identity."""
    tag: str
    """The model tag: the name and revision that were asked for."""
    device: str
    texts_per_s: float
    """The engine's rate now, in tweets (texts that cost 1: `tasks.cost`)."""
    started_at: float
    """The time when the worker started, in Unix seconds."""
    host: str = ""
    """The host name of the worker's machine."""
    v: V1 = 1
    description: Description | None = None
    """What is told of the model; None in marks of the version before."""


_SINCE_MARK_BEFORE = ("host", "v", "description")
_mark: Callable[[bytes], WorkerMark] = _reader(WorkerMark, "a worker mark")


def write_mark(mark: WorkerMark) -> bytes:
    """A worker mark, encoded."""
    return _encode(mark)


def write_mark_before(mark: WorkerMark) -> bytes:
    """A worker mark for web processes of the version before, which fail on fields that they do not know."""
    facts = msgspec.structs.asdict(mark)
    return _encode({name: value for name, value in facts.items() if name not in _SINCE_MARK_BEFORE})


def read_mark(raw: bytes) -> WorkerMark:
    """The reverse of `write_mark` and `write_mark_before`; the latter's host is in the id, `role-host-pid-random`."""
    mark = _mark(raw)
    if mark.host:
        return mark
    return msgspec.structs.replace(mark, host=mark.id.removeprefix(f"{mark.role}-").rsplit("-", 2)[0])


class CompilingMark(Struct, frozen=True):
    """How far a worker is that compiles its model, or waits for another one that does, before it is ready."""

    id: str
    """The worker's id."""
    role: str
    tag: str
    """The model tag: the name and revision that were asked for."""
    model: str
    """The model's name as anybody may see it: without the folders in which it is."""
    step: str = ""
    """What is done now: see `model.compiling.Progress`."""
    share: float | None = None
    """The part of the step that is done, from 0 to 1, where it is known."""
    seconds: float = 0.0
    """The time since the worker began, by its own clock."""
    v: V1 = 1

    @property
    def percent(self) -> int | None:
        """`share` in percent."""
        return None if self.share is None else round(100 * self.share)

    @property
    def words(self) -> str:
        """The same for people: `quantising 40 %, 23 s`."""
        percent = "" if self.percent is None else f" {self.percent} %"
        return f"{self.step}{percent}, {self.seconds:.0f} s"


_compiling: Callable[[bytes], CompilingMark] = _reader(CompilingMark, "a compiling mark")


def write_compiling(mark: CompilingMark) -> bytes:
    """A compiling mark, encoded."""
    return _encode(mark)


def read_compiling(raw: bytes) -> CompilingMark:
    """The reverse of `write_compiling`."""
    return _compiling(raw)
