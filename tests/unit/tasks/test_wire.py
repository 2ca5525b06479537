"""The formats between processes: data are read by this version and the one before, and anything else is refused."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.description import Description, Trial
from tasks.store.outcomes import Failed, Language, Outcome, Remarks, Scored
from tasks.wire import (
    Chunk,
    ChunkResult,
    CompilingMark,
    FormatError,
    JobChunk,
    KeyUse,
    NewerFormat,
    PageRow,
    Reply,
    StoredPage,
    TextsChunk,
    Todo,
    WorkerMark,
    chunk_result,
    from_row,
    read_cached,
    read_chunk,
    read_compiling,
    read_key_use,
    read_mark,
    read_page,
    read_reply,
    read_result,
    read_todo,
    to_remarks,
    to_row,
    write_chunk,
    write_compiling,
    write_key_use,
    write_mark,
    write_mark_before,
    write_page,
    write_remarks,
    write_result,
    write_row,
    write_todo,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
counts = st.integers(0, 2**53)
scores = st.lists(st.floats(0, 1), min_size=1, max_size=8).map(tuple)
remarks = st.builds(Remarks, st.none() | st.builds(Language, texts, st.floats(0, 1)), st.lists(texts).map(tuple))
outcomes = st.builds(Scored, scores, st.booleans(), remarks) | st.builds(Failed, texts)
rows = outcomes.map(to_row)
chunks = st.builds(TextsChunk, texts, st.lists(texts)) | st.builds(JobChunk, texts, texts, counts)
todos = st.lists(st.tuples(texts, counts)).map(lambda pairs: Todo([text for text, _ in pairs], [n for _, n in pairs]))
page_rows = st.builds(
    PageRow,
    texts,
    counts | rows,
    st.none() | texts | st.integers(-(2**63), 2**63 - 1),
    st.lists(texts, max_size=3).map(tuple),
    st.none() | remarks,
)
pages = st.builds(StoredPage, st.none() | texts, st.lists(page_rows, max_size=5))
results = st.builds(chunk_result, texts, st.lists(outcomes, max_size=5))
trials = st.builds(Trial, texts, st.booleans(), texts, st.integers(0, 999), *[st.floats(0, 1e9)] * 5)
descriptions = st.builds(
    Description,
    texts,
    st.tuples(texts, texts),
    st.tuples(texts, texts),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 999),
    st.lists(texts).map(tuple),
    st.none() | st.floats(0, 1),
    st.tuples(trials),
)
marks = st.builds(
    WorkerMark,
    *[texts] * 5,
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    texts.filter(bool),
    description=st.none() | descriptions,
)
compiling_marks = st.builds(
    CompilingMark, *[texts] * 5, st.none() | st.floats(0, 1, width=32), st.floats(0, 1e9, width=32)
)
key_uses = st.builds(KeyUse, texts, st.none() | texts)


def _packed(value: object) -> bytes:
    return zlib.compress(json.dumps(value).encode())


def _read_message(raw: bytes) -> Chunk:
    """Reads a chunk from JSON, as Celery does."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        message = raw
    return read_chunk(message)


READERS: dict[str, Callable[[bytes], object]] = {
    "chunk": _read_message,
    "cached": read_cached,
    "reply": read_reply,
    "result": read_result,
    "key use": read_key_use,
    "mark": read_mark,
    "todo": lambda raw: read_todo(zlib.compress(raw)),
    "page": lambda raw: read_page(zlib.compress(raw)),
}
"""The readers, each of which takes JSON."""
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())


# Round trips


@given(outcomes)
def test_outcome(outcome: Scored | Failed) -> None:
    """An outcome with any number of classes is its row and what stands beside it. The version before reads the row."""
    assert from_row(to_row(outcome), to_remarks(outcome)) == outcome
    row, beside = write_row(outcome), write_remarks(outcome)
    read = json.loads(row)
    if isinstance(outcome, Scored):
        assert read == [*outcome.scores, int(outcome.truncated)]
    else:
        assert (read, beside) == (outcome.code, b"")
    assert read_cached(row) == from_row(to_row(outcome))
    if beside:
        assert read_cached(b'{"v":2,"row":%b,"remarks":%b}' % (row, beside)) == outcome


@given(chunks)
def test_chunk(chunk: Chunk) -> None:
    """A chunk is read from the JSON that Celery makes of it, and has all fields that the version before reads."""
    message = json.loads(json.dumps(write_chunk(chunk)))
    assert read_chunk(message) == chunk
    known = {name: getattr(chunk, name) for name in ("tag", "texts", "job", "n") if hasattr(chunk, name)}
    assert known.items() <= message.items()


@given(todos)
def test_todo(todo: Todo) -> None:
    """A job's chunk is read as it was written; the version before reads it as two lists."""
    packed = write_todo(todo)
    assert read_todo(packed) == todo
    assert json.loads(zlib.decompress(packed)) == [todo.texts, todo.weights]


@given(pages)
def test_page(page: StoredPage) -> None:
    """A page of a job is read as it was written.

    The version before reads each line as a text, its outcome's row or its number, an id and columns.
    """
    packed = write_page(page)
    assert read_page(packed) == page
    model, lines = json.loads(zlib.decompress(packed))
    assert model == page.model
    assert [line[0] for line in lines] == [row.text for row in page.rows]
    assert [line[1] for line in lines] == [
        list(row.where) if isinstance(row.where, tuple) else row.where for row in page.rows
    ]
    assert [line[2:4] for line in lines] == [[row.id, list(row.columns)] for row in page.rows]


@given(texts, results)
def test_result(task_id: str, result: ChunkResult) -> None:
    """A chunk's result is read as it was written; the version before reads model and rows from Celery's form."""
    raw = write_result(task_id, result)
    assert read_result(raw) == result
    meta = json.loads(raw)
    assert (meta["status"], meta["task_id"], meta["result"]["model"]) == ("SUCCESS", task_id, result.model)
    assert [row if isinstance(row, str) else tuple(row) for row in meta["result"]["rows"]] == list(result.rows)


@given(marks)
def test_mark(mark: WorkerMark) -> None:
    """A worker mark is read as it was written; the one for the version before has only fields that version knows."""
    assert read_mark(write_mark(mark)) == mark
    known = ["id", "role", "model", "tag", "device", "texts_per_s", "started_at"]
    assert json.loads(write_mark_before(mark)) == {name: getattr(mark, name) for name in known}


@given(compiling_marks)
def test_compiling_mark(mark: CompilingMark) -> None:
    """A compiling mark is read as it was written."""
    assert read_compiling(write_compiling(mark)) == mark


@given(key_uses)
def test_key_use(use: KeyUse) -> None:
    """The use of an Idempotency-Key is read as it was written; the version before reads job and fingerprint."""
    raw = write_key_use(use)
    assert read_key_use(raw) == use
    assert json.loads(raw) == [use.job, use.fingerprint]


# The version before: all these data were written by it.


def test_outcomes_of_the_version_before() -> None:
    """An outcome in the cache and a reply of the version before are read."""
    assert read_cached(b"[0.12345,0.2,0.67655,1]") == Scored((0.12345, 0.2, 0.67655), True)
    reply = b'{"model":"stub@1/stub","rows":{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":[0.12345,0.2,0.67655,1],'
    reply += b'"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb":"text_failed"}}'
    found: dict[str, Outcome] = {"a" * 32: Scored((0.12345, 0.2, 0.67655), True), "b" * 32: Failed("text_failed")}
    assert read_reply(reply) == Reply("stub@1/stub", found)


def test_chunks_of_the_version_before() -> None:
    """Chunks that web processes and workers of the version before have sent are read."""
    callers = b'[[{"tag": "stub@-", "texts": ["eins", "zwei \\u2713"]}], {}, {"callbacks": null, "errbacks": null, '
    callers += b'"chain": null, "chord": null}]'
    job = b'[[{"tag": "stub@-", "job": "00000000000000000000000000000000", "n": 7}], {}, {"callbacks": null, '
    job += b'"errbacks": null, "chain": null, "chord": null}]'
    assert read_chunk(json.loads(callers)[0][0]) == TextsChunk("stub@-", ["eins", "zwei ✓"])
    assert read_chunk(json.loads(job)[0][0]) == JobChunk("stub@-", "0" * 32, 7)


def test_jobs_of_the_version_before() -> None:
    """Pages, chunks, results and uses of Idempotency-Keys stored by the version before are read."""
    page = b"x\x01-\x8c\xc1\n\x80 \x10D\x7f%\xe6\xbc\x98\x06\xd1\xb5\xff\x90%\n<e\x1a\xb4\xa2\xfd}.t\x18\x86\x99y\x8c"
    page += b"\xc7#\xe5X\xdd\xa8\x06\xf2\x1e9\x05\x90e\xf2\x18\xa4f\x90#4h<S\xae\xa9#\xd68\xb2f\xeaZ\x94\x9bu\x03!\\"
    page += b"\xb7\xbc\x9b\x84&\xa0Tb\xec\xed\xde\xeb\x03\xac\xc0\xff\xca\xfc\x01B\xd9 s"
    assert read_page(page) == StoredPage(
        "stub@1/stub",
        [
            PageRow("one", 0),
            PageRow(" two", 1, "x"),
            PageRow("known", (0.1, 0.2, 0.7, 0), 5),
            PageRow("", "empty_text", None, ("a", "b")),
            PageRow("one", 0),
        ],
    )
    todo = b"x\x01\x8b\x8eV\xca\xcfKU\xd2Q*)\xcfW\x8a\xd5\x896\xd21\x8c\x8d\x05\x00Fa\x064"
    assert read_todo(todo) == Todo(["one", "two"], [2, 1])
    result = b'{"status":"SUCCESS","result":{"model":"stub@1/stub","rows":[[0.12345,0.2,0.67655,1],"text_failed"]},'
    result += b'"traceback":null,"children":[],"date_done":"2026-11-27T11:33:19.737417+00:00","task_id":"j.0"}'
    assert read_result(result) == ChunkResult("stub@1/stub", [(0.12345, 0.2, 0.67655, 1), "text_failed"])
    assert read_key_use(b'["j",null]') == KeyUse("j", None)
    assert read_key_use(b'["j","ffffffffffffffffffffffffffffffff"]') == KeyUse("j", "f" * 32)


def test_mark_of_the_version_before() -> None:
    """In a mark of the version before, the host is read from the id, even if its name has dashes."""
    mark = b'{"id":"batch-a-host-7-abcdef","role":"batch","model":"stub@1/stub","tag":"stub@-","device":"cpu",'
    mark += b'"texts_per_s":250.5,"started_at":1764230000.25}'
    facts = ("batch-a-host-7-abcdef", "batch", "stub@1/stub", "stub@-", "cpu", 250.5, 1764230000.25)
    assert read_mark(mark) == WorkerMark(*facts, host="a-host")


# A later version


def test_remarks_are_missing_to_the_version_before() -> None:
    """A prediction with remarks has the version 2, by which the version before knows that it cannot read it."""
    raw = b'{"v":2,"row":[0.1,0.9,0],"remarks":{"language":["es",0.99],"warnings":["uncertain"],"new":1}}'
    assert read_cached(raw) == Scored((0.1, 0.9), False, Remarks(Language("es", 0.99), ("uncertain",)))
    with pytest.raises(FormatError):
        read_cached(raw.replace(b'"v":2', b'"v":1'))


def test_uneven_page() -> None:
    """A page that the version before would misread has a version that it refuses; this version reads it as it was."""
    page = StoredPage("m", [PageRow("a", 1), PageRow("b", (0.5, 0.5, 0), 7, ("x",))])
    raw = write_page(page, uneven=True)
    assert json.loads(zlib.decompress(raw))["v"] == 2
    assert read_page(raw) == read_page(write_page(page)) == page


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        (READERS["chunk"], b'{"v":1,"kind":"texts","tag":"t","texts":["a"],"new":[1]}'),
        (READERS["chunk"], b'{"v":1,"kind":"job","tag":"t","job":"j","n":1,"new":{}}'),
        (read_reply, b'{"v":1,"model":"m","rows":{},"new":1}'),
        (read_reply, b'{"v":1,"model":"m","rows":{},"remarks":{"a":{"new":1}}}'),
        (read_result, b'{"status":"SUCCESS","result":{"v":1,"model":"m","rows":[],"new":1}}'),
        (READERS["page"], b'["m",[["a",1,null,[],null,[],[],"new"]]]'),
    ],
)
def test_new_fields_are_skipped(read: Callable[[bytes], object], raw: bytes) -> None:
    """A field that this version does not know is skipped."""
    read(raw)


@readers
@given(st.integers(2, 2**60), st.dictionaries(st.sampled_from(["tag", "kind", "rows", "job"]), st.integers()))
def test_newer_version(read: Callable[[bytes], object], version: int, rest: dict[str, Any]) -> None:
    """An object of a later version raises NewerFormat, whatever else is in it; an unreadable one does not."""
    newer: dict[str, Any] = {"v": version + (read in (READERS["page"], READERS["todo"], read_cached))} | rest
    if read is read_result:
        newer = {"status": "SUCCESS", "result": newer}
    with pytest.raises(NewerFormat):
        read(json.dumps(newer).encode())


def test_newer_than_it_looks() -> None:
    """A later version is refused even if all fields of this one are there, as they may mean something else."""
    with pytest.raises(NewerFormat):
        read_chunk(write_chunk(JobChunk("t", "j", 1)) | {"v": 2})
    with pytest.raises(NewerFormat):
        read_reply(b'{"v":2,"model":"m","rows":{}}')


# Garbage

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["v", "kind", "tag", "texts", "job", "n", "model", "rows", "result", "id"]) | st.text(),
            inner,
        )
    ),
    max_leaves=12,
)


@readers
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 200_000)
@example(b'{"a":' * 200_000)
@example(b'"\xff"')
def test_garbage(read: Callable[[bytes], object], raw: bytes) -> None:
    """Any bytes are either read or refused with FormatError."""
    try:
        read(raw)
    except FormatError:
        pass


@given(st.binary())
def test_packed_garbage(raw: bytes) -> None:
    """Data that cannot be decompressed are refused like data that cannot be read."""
    for read in (read_todo, read_page):
        with pytest.raises(FormatError):
            read(raw)


@pytest.mark.parametrize("row", [(), (1,), (0.1, 0.9, 2), (0.1, 0.9, 0.5), (0.5, -1)])
def test_row_that_is_none(row: tuple[float, ...]) -> None:
    """A row without a score, or without a flag for truncation, is refused."""
    with pytest.raises(FormatError):
        from_row(row)


def test_weights_of_other_texts() -> None:
    """A job's chunk with another number of weights than texts is refused, as it would be counted wrongly."""
    with pytest.raises(FormatError):
        read_todo(_packed([["a", "b"], [1]]))


def test_remarks_of_other_rows() -> None:
    """A chunk's result with another number of remarks than rows is refused, as they would be those of other texts."""
    with pytest.raises(FormatError):
        read_result(b'{"status":"SUCCESS","result":{"v":1,"model":"m","rows":["a","b"],"remarks":[null]}}')


def test_error_quotes_nothing() -> None:
    """The error's message does not quote the data, which may be a caller's text."""
    with pytest.raises(FormatError) as caught:
        read_chunk({"tag": "t", "texts": "secret", "kind": "secret"})
    assert "secret" not in str(caught.value)
