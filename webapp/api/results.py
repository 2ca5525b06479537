"""A job's lines as JSON, NDJSON and CSV; the last two are streams of any length.

However long lines are, only a page of JSON, or a piece of a stream, is in memory at a time.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence

import orjson

from model.analysis import Analysis
from model.warnings import NOT_MENTIONED, UNCERTAIN
from tasks.jobs.job import Entry, Header, Job, JobStatus, Line
from tasks.store.outcomes import Failed
from webapp.api.parts import sentences_body, words_body
from webapp.api.said import Flags, not_mentioned, said, warnings

_BEFORE_SCORES = ("position", "status", "label", "confidence")
_AFTER_SCORES = ("truncated", "error", "model", "language", "language_sureness", "uncertain", "warnings", "windows")
MOST_ROWS = 1_048_576
"""The most rows of a spreadsheet."""
_EXACT = 2**53
"""Spreadsheets keep whole numbers up to this; longer ones would get other digits."""
PAGE_BYTES = 8 * 1024 * 1024
"""Bytes of a page of JSON; it ends with the line that reaches this."""
_PIECE_BYTES = 64 * 1024
"""Bytes of a piece of a stream; it ends with the line that reaches this."""
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that a spreadsheet takes for a formula, in full width too."""
_UNSEEN = "\ufeff"
"""What spreadsheets take away, or may, before they look at a cell."""


def _status(job: Job | None, line: Line) -> str:
    if line.outcome is None:
        return "cancelled" if job is not None and job.status is JobStatus.CANCELLED else "pending"
    return "failed" if isinstance(line.outcome, Failed) and line.outcome.code != NOT_MENTIONED else "done"


def line_body(job: Job | None, line: Line, classes: Sequence[str], flags: Flags) -> dict[str, object]:
    """One line as it is written in JSON. `job` is None for a text that was answered without a job; `classes` name the
    scores.
    """
    entry, outcome = line.entry, line.outcome
    body: dict[str, object] = {"position": line.position}
    if entry.id is not None:
        body["id"] = entry.id
    if job is not None and job.header is not None:
        at, names = job.header.text, _apart(job.header.names)
        body["columns"] = dict(zip(names[:at] + names[at + 1 :], _others(job.header, entry), strict=True))
    body |= {"text": entry.text, "status": _status(job, line)}
    if isinstance(outcome, Failed) and outcome.code == NOT_MENTIONED:
        body |= {**not_mentioned(), "cached": False, "model": None}
    elif isinstance(outcome, Failed):
        body["error"] = {"code": outcome.code}
    elif outcome is not None:
        told = flags(line.model)
        said(outcome, classes, told, body)
        body |= {"cached": line.cached, "model": line.model, **told}
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


def csv_file(job: Job, lines: Iterable[Line], flags: Flags, *, raw: bool, like_input: bool = False) -> Iterator[bytes]:
    """Lines as CSV, in pieces, the header first.

    The header has the names of the columns: those of the upload, then those of the result, with `sentiq_` before a name
    that is taken. The scores of a class are in the column of its name in lower case, with `score_` before it if the
    result has another column of that name.

    Args:
        job: the job.
        lines: its lines.
        flags: what is said of the models that scored them.
        raw: whether the caller's cells stay as they are; otherwise those that a spreadsheet would take for a formula
            get a single quote in front.
        like_input: whether the delimiter and the byte order mark are those of the file that the job came from.
    """
    source = job.source if like_input else None
    cells = list if raw else harmless
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=(source.delimiter if source is not None else None) or ",")
    if source is not None and source.bom:
        out.write("\ufeff")
    writer.writerow(_all_unlike([*cells(own_columns(job)), *_result_columns(job.analysis)]))
    for line in lines:
        if out.tell() >= _PIECE_BYTES:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
        writer.writerow([*cells(own_fields(job, line)), *_result_fields(job, line, flags)])
    yield out.getvalue().encode()


def workbook_rows(job: Job, lines: Iterable[Line], flags: Flags) -> Iterator[list[object]]:
    """The rows of a spreadsheet of lines, the header first, as in `csv_file`; numbers are numbers."""
    yield list(_all_unlike([*own_columns(job), *_result_columns(job.analysis)]))
    for line in lines:
        own = [str(cell) if isinstance(cell, int) and abs(cell) > _EXACT else cell for cell in own_fields(job, line)]
        yield [*own, *_result_fields(job, line, flags)]


def harmless(cells: Iterable[object]) -> list[object]:
    """Cells without formulas (OWASP, CSV Injection)."""
    return [
        f"'{cell}" if cell is not None and str(cell).lstrip(_UNSEEN).startswith(_DANGEROUS) else cell for cell in cells
    ]


def own_columns(job: Job) -> list[str]:
    """The names of the columns that a job's lines came with, the text's among them, each name once."""
    if job.header is not None:
        return _apart(job.header.names)
    return ["id", "text"] if job.has_ids else ["text"]


def _apart(names: Sequence[str]) -> list[str]:
    """Names of which none is there twice: the second `stars` becomes `stars_2`."""
    if len(set(names)) == len(names):
        return list(names)
    apart: dict[str, None] = {}
    taken = set(names)
    for given in names:
        name, number = given, 2
        while name in apart or (name != given and name in taken):
            name, number = f"{given}_{number}", number + 1
        apart[name] = None
    return list(apart)


def _others(header: Header, entry: Entry) -> tuple[str, ...]:
    """The cells of the columns besides the text's. Where columns were found after it, it has fewer, and its id is not
    among them.
    """
    missing = len(header.names) - 1 - len(entry.columns)
    if not missing:
        return entry.columns
    others = [name for place, name in enumerate(header.names) if place != header.text]
    return (
        *entry.columns,
        *(str(entry.id) if name == "id" and entry.id is not None else "" for name in others[len(entry.columns) :]),
    )


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


def own_fields(job: Job, line: Line) -> list[object]:
    """The cells of a line in these columns."""
    entry = line.entry
    if job.header is not None:
        at, others = job.header.text, _others(job.header, entry)
        return [*others[:at], entry.text, *others[at:]]
    return [entry.id, entry.text] if job.has_ids else [entry.text]


def _result_fields(job: Job, line: Line, flags: Flags) -> list[object]:
    outcome, classes = line.outcome, job.analysis.classes
    found: dict[str, object] = {"position": line.position, "status": _status(job, line)}
    scores: Sequence[object] = [None] * len(classes)
    if isinstance(outcome, Failed):
        found["warnings" if outcome.code == NOT_MENTIONED else "error"] = outcome.code
    elif outcome is not None:
        remarks = outcome.remarks
        if not remarks.refused:
            found |= {"label": classes[outcome.decided], "confidence": outcome.confidence}
            scores = outcome.scores
        if remarks.language is not None:
            found |= {"language": remarks.language.code, "language_sureness": remarks.language.sureness}
        found |= {
            "truncated": _word(outcome.truncated),
            "model": line.model,
            "uncertain": _word(UNCERTAIN in remarks.warnings),
            "warnings": " ".join(warnings(outcome, flags(line.model))),
            "windows": remarks.windows,
        }
    return [*map(found.get, _BEFORE_SCORES), *scores, *map(found.get, _AFTER_SCORES)]


def _word(value: bool) -> str:
    return "true" if value else "false"


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compresses the pieces with gzip."""
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
