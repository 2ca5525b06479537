"""A job's lines as JSON, NDJSON and CSV; the last two are streams of any length.

However long lines are, only a page of JSON, or a piece of a stream, is in memory at a time.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import orjson

from model.analysis import Analysis
from tasks.jobs.job import Job, JobStatus, Line
from tasks.store.outcomes import Failed
from webapp.api.parts import sentences_body, words_body

_BEFORE_SCORES = ("position", "status", "label", "confidence")
_AFTER_SCORES = ("truncated", "error", "model", "windows")
PAGE_BYTES = 8 * 1024 * 1024
"""Bytes of a page of JSON; it ends with the line that reaches this."""
_PIECE_BYTES = 64 * 1024
"""Bytes of a piece of a stream; it ends with the line that reaches this."""
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that a spreadsheet takes for a formula, in full width too."""


def _status(job: Job | None, line: Line) -> str:
    if line.outcome is None:
        return "cancelled" if job is not None and job.status is JobStatus.CANCELLED else "pending"
    return "failed" if isinstance(line.outcome, Failed) else "done"


Flags = Callable[[str | None], dict[str, bool]]
"""What is said of the model of an identity: see `webapp.api.answers.PredictionAnswers.flags`."""


def line_body(job: Job | None, line: Line, classes: Sequence[str], flags: Flags) -> dict[str, object]:
    """One line as it is written in JSON. `job` is None for a text that was answered without a job; `classes` name the
    scores.
    """
    entry, outcome = line.entry, line.outcome
    body: dict[str, object] = {"position": line.position}
    if entry.id is not None:
        body["id"] = entry.id
    if job is not None and job.header is not None:
        at, names = job.header.text, job.header.names
        body["columns"] = dict(zip(names[:at] + names[at + 1 :], entry.columns, strict=True))
    body |= {"text": entry.text, "status": _status(job, line)}
    if isinstance(outcome, Failed):
        body["error"] = {"code": outcome.code}
    elif outcome is not None:
        body |= {
            "label": classes[outcome.decided],
            "confidence": outcome.confidence,
            "scores": dict(zip(classes, outcome.scores, strict=True)),
            "truncated": outcome.truncated,
            "windows": outcome.remarks.windows,
            "cached": line.cached,
            "model": line.model,
            **flags(line.model),
        }
        if line.sentences:
            body["sentences"] = sentences_body(entry.text, line.sentences, classes)
        if line.words:
            body["words"] = words_body(entry.text, outcome, line.words)
    return body


def json_page(job: Job, lines: Iterable[Line], flags: Flags) -> list[orjson.Fragment]:
    """The lines of a page: as many as PAGE_BYTES allow, and one at least unless there are none."""
    items: list[orjson.Fragment] = []
    page_bytes = 0
    for line in lines:
        item = orjson.dumps(line_body(job, line, job.analysis.classes, flags))
        items.append(orjson.Fragment(item))
        page_bytes += len(item)
        if page_bytes >= PAGE_BYTES:
            break
    return items


def ndjson(job: Job, lines: Iterable[Line], flags: Flags) -> Iterator[bytes]:
    """Lines as NDJSON, in pieces."""
    piece: list[bytes] = []
    piece_bytes = 0
    for line in lines:
        body = line_body(job, line, job.analysis.classes, flags)
        piece.append(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE))
        piece_bytes += len(piece[-1])
        if piece_bytes >= _PIECE_BYTES:
            yield b"".join(piece)
            piece, piece_bytes = [], 0
    if piece:
        yield b"".join(piece)


def csv_file(job: Job, lines: Iterable[Line], *, raw: bool) -> Iterator[bytes]:
    """Lines as CSV, in pieces, the header first.

    The header has the names of the columns: those of the upload, then those of the result, with `sentiq_` before a name
    that is taken. The scores of a class are in the column of its name in lower case, with `score_` before it if the
    result has another column of that name.

    Args:
        job: the job.
        lines: its lines.
        raw: whether the caller's cells stay as they are; otherwise those that a spreadsheet would take for a formula
            get a single quote in front.
    """
    cells = list if raw else _harmless
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_all_unlike([*cells(_own_columns(job)), *_result_columns(job.analysis)]))
    for line in lines:
        if out.tell() >= _PIECE_BYTES:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
        writer.writerow([*cells(_own_fields(job, line)), *_result_fields(job, line)])
    yield out.getvalue().encode()


def _harmless(cells: Iterable[object]) -> list[object]:
    """Cells without formulas (OWASP, CSV Injection)."""
    return [f"'{cell}" if cell is not None and str(cell).startswith(_DANGEROUS) else cell for cell in cells]


def _own_columns(job: Job) -> list[str]:
    if job.header is not None:
        return list(job.header.names)
    return ["id", "text"] if job.has_ids else ["text"]


def _all_unlike(names: Iterable[object]) -> list[str]:
    """The names of columns; one that stands further left, too, has `sentiq_` before it."""
    unlike: dict[str, None] = {}
    for given in names:
        name = str(given)
        while name in unlike:
            name = f"sentiq_{name}"
        unlike[name] = None
    return list(unlike)


def _result_columns(analysis: Analysis) -> list[str]:
    scores = [label.lower() for label in analysis.classes]
    ours = {*_BEFORE_SCORES, *_AFTER_SCORES}
    return [*_BEFORE_SCORES, *(f"score_{name}" if name in ours else name for name in scores), *_AFTER_SCORES]


def _own_fields(job: Job, line: Line) -> list[object]:
    entry = line.entry
    if job.header is not None:
        at = job.header.text
        return [*entry.columns[:at], entry.text, *entry.columns[at:]]
    return [entry.id, entry.text] if job.has_ids else [entry.text]


def _result_fields(job: Job, line: Line) -> list[object]:
    outcome, classes = line.outcome, len(job.analysis.classes)
    head = [line.position, _status(job, line)]
    if outcome is None:
        return [*head, *[None] * (6 + classes)]
    if isinstance(outcome, Failed):
        return [*head, *[None] * (3 + classes), outcome.code, None, None]
    label, truncated = job.analysis.classes[outcome.decided], str(outcome.truncated).lower()
    windows = outcome.remarks.windows
    return [*head, label, outcome.confidence, *outcome.scores, truncated, None, line.model, windows]


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compresses the pieces with gzip."""
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
