"""A typed client for Sentiq: `from webapp.client import Sentiq`. It imports nothing of the service's code."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Literal, Self
from urllib.parse import quote

import httpx

from webapp.client.http import (
    BROKEN,
    Transport,
    counted,
    file_body,
    gzipped_ndjson,
    json_array,
    json_object,
    split_lines,
)
from webapp.client.types import Job, Line, Prediction, SentiqError, Status, Unavailable, WaitTimeout, understood

DEFAULT_URL = "http://127.0.0.1:8000"
Format = Literal["csv", "ndjson", "json", "xlsx"]


class Sentiq:
    """A client of one service; any number of threads may share it.

    A request is tried again, for `patience_s`, when the service is busy or the connection breaks. If the service has
    never answered yet, its address is taken to be wrong, and the error is raised at once.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
        on_retry: Callable[[SentiqError, float], None] | None = None,
    ) -> None:
        """Makes the client; no connection is opened yet.

        Args:
            url: the service's address; it may have a path, which goes before the paths of the API.
            api_key: the key that is sent with every request.
            timeout_s: how long the service may be silent within a request.
            patience_s: how long requests to an absent or busy service are tried again.
            on_retry: called for each failure that is followed by another try, with the error and the seconds until
                then.

        Raises:
            ValueError: `url` is not an address.
        """
        self._transport = Transport(url, api_key, timeout_s=timeout_s, patience_s=patience_s, on_retry=on_retry)
        self._send = self._transport.send
        self._timeout_s = timeout_s
        self.url = self._transport.url
        """The service's address, without user and password."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def predict(
        self,
        text: str,
        *,
        model: str | None = None,
        target: str | None = None,
        sentences: bool = False,
        explain: bool = False,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Scores one text; if the service makes a job of it, waits for the job.

        Args:
            text: the text.
            model: the name of a model of the service, where it has several; None for its own choice.
            target: what the text is scored towards, such as a person or product.
            sentences: whether each sentence gets an answer, too.
            explain: whether each word gets its weight.
            timeout_s: seconds to wait for a job; None for no limit.

        Raises:
            WaitTimeout: it took longer than `timeout_s`; the job goes on.
            SentiqError: with the code `empty_text`, `text_too_long` or `text_failed`, the text is at fault.
        """
        # Escaped as ASCII, so that half an emoji can be sent too; the service reads it as U+FFFD.
        more = {"model": model, "target": target, "sentences": sentences, "explain": explain}
        body = json.dumps({"text": text} | {name: value for name, value in more.items() if value}).encode()
        response = self._send("POST", "/predict", None, {"Content-Type": "application/json"}, content=lambda: body)
        if response.status_code != 202:
            return Prediction.of(json_object(response))
        job = self.wait(Job.of(json_object(response)), timeout_s=timeout_s)
        with understood:
            (line,) = map(json.loads, self._ndjson(job))
            error = None if line["status"] == "done" else line["error"]["code"] if "error" in line else "job_cancelled"
        if error is not None:
            raise SentiqError("The text has no prediction.", code=error)
        return Prediction.of(line)

    def submit(
        self,
        texts: Iterable[str | dict[str, Any]] | str | os.PathLike[str] | IO[bytes],
        *,
        column: str | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        quote: str | None = None,
        escape: str | None = None,
        header: bool | None = None,
        skip: int | None = None,
        on_error: Literal["refuse", "line"] | None = None,
        sheet: str | None = None,
        content_type: str | None = None,
        callback_url: str | None = None,
        model: str | None = None,
        target: str | None = None,
        sentences: bool = False,
        idempotency_key: str | None = None,
        on_upload: Callable[[int], None] | None = None,
    ) -> Job:
        """Submits a job. The texts are never in memory all at once. Texts that can be read only once are not sent
        again.

        Args:
            texts: texts, or objects with `text` and `id`; or the path of a file (.csv, .tsv, .ndjson, .jsonl, .txt,
                .json, each also with .gz; .xlsx, .xls, .ods, or .zip of one file); or such a file,
                opened in binary mode.
            column: the column, or the key of JSON objects, with the texts; a path (`data.text`), or a number from 1
                if there is no header.
            delimiter: for a CSV file: one character, or `tab`; by default what the header shows.
            encoding: a file's encoding, if it is neither UTF-8 nor told by a byte order mark.
            quote: for a CSV file: the quote, or `none`.
            escape: for a CSV file: the character before a quote that belongs to the text.
            header: False if the first row is a row like all others.
            skip: how many lines there are before the header.
            on_error: `line` if a row that cannot be read shall have its own error (`malformed_line`).
            sheet: for a spreadsheet: the name of the sheet, or its number from 1.
            content_type: a file's type, if its name does not tell: an ending (`.csv.gz`) or a media type.
            callback_url: the address to which the service posts the job when it has ended.
            model: as in `predict`.
            target: as in `predict`, for all texts.
            sentences: as in `predict`.
            idempotency_key: the same key creates no second job. By default each call has its own.
            on_upload: called with the number of bytes that have been sent.

        Raises:
            ValueError: the file's type is not known.
            OSError: the file cannot be read.
            SentiqError: the service refused; `line` says where in the file.
        """
        with Path(texts).open("rb") if isinstance(texts, str | os.PathLike) else nullcontext(texts) as source:
            headers, parts, again = (
                gzipped_ndjson(source) if not hasattr(source, "read") else file_body(source, content_type)
            )
            headers["Idempotency-Key"] = idempotency_key or uuid.uuid4().hex
            query = {
                "column": column,
                "delimiter": delimiter,
                "encoding": encoding,
                "quote": quote,
                "escape": escape,
                "header": None if header is None else str(header).lower(),
                "skip": None if skip is None else str(skip),
                "on_error": on_error,
                "sheet": sheet,
                "callback_url": callback_url,
                "model": model,
                "target": target,
                "sentences": "true" if sentences else None,
            }
            params = {name: value for name, value in query.items() if value is not None}

            def content() -> Iterator[bytes]:
                return counted(parts(), on_upload)

            return Job.of(
                json_object(self._send("POST", "/batch_predict", params, headers, content=content, again=again))
            )

    def job(self, job: Job | str) -> Job:
        """The job as it is now."""
        return Job.of(json_object(self._send("GET", _path(job))))

    def jobs(self, status: Status | None = None) -> Iterator[Job]:
        """All jobs, or those with this status, newest first."""
        params: dict[str, str] | None = {} if status is None else {"status": status}
        while params is not None:
            page = json_object(self._send("GET", "/jobs", params))
            with understood:
                jobs = list(map(Job.of, page["items"]))
                params = dict(httpx.URL(page["next"]).params) if page["next"] else None
            yield from jobs

    def cancel(self, job: Job | str) -> Job:
        """Cancels the job; what is done stays readable, and a job that has ended stays as it is."""
        return Job.of(json_object(self._send("DELETE", _path(job))))

    def remove(self, job: Job | str) -> None:
        """Removes a job that has ended, with its results, and frees what it keeps of your quota.

        Raises:
            JobNotFound: there is no such job, or no longer.
            SentiqError: `job_not_ended`: cancel it first.
        """
        self._send("DELETE", _path(job), {"purge": "1"})

    def wait(
        self, job: Job | str, *, timeout_s: float | None = None, on_progress: Callable[[Job], None] | None = None
    ) -> Job:
        """Waits until the job has ended, well or badly, and returns it. If the service is away meanwhile, waits for
        that too.

        Args:
            timeout_s: seconds to wait; None for no limit.
            on_progress: called with the job about once a second.

        Raises:
            WaitTimeout: the job has not ended; it goes on.
        """
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        # A service that waits as asked must not be taken for one that is silent.
        step_s, pause_s = 1.0 if on_progress is not None else min(20.0, self._timeout_s / 2), 0.1
        while True:
            left_s = max(0.0, until - time.monotonic())
            prefer = {"Prefer": f"wait={math.ceil(min(step_s, left_s))}"}
            response = self._send("GET", _path(job), None, prefer, patience_s=left_s)
            now = Job.of(json_object(response))
            if on_progress is not None:
                on_progress(now)
            if now.ended:
                return now
            if timeout_s is not None and time.monotonic() >= until:
                raise WaitTimeout(now, timeout_s)
            if "Preference-Applied" not in response.headers:  # a proxy has dropped the header
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 2.0)

    def results(self, job: Job | str) -> Iterator[Line]:
        """Yields the job's lines in the order of the input, reading as they are consumed. While the job runs, some are
        pending.
        """
        for raw in self._ndjson(job):
            with understood:
                line = json.loads(raw)
                line = line | {"error": line["error"]["code"]} if "error" in line else line
            yield Line.of(line)

    def download(
        self,
        job: Job | str,
        file: str | os.PathLike[str] | IO[bytes],
        format: Format = "csv",
        *,
        raw: bool = False,
        like_input: bool = False,
        on_download: Callable[[int], None] | None = None,
    ) -> None:
        """Writes the job's lines: as CSV or as a spreadsheet (.xlsx), with the input's own columns first; as NDJSON; or
        as one JSON array.

        Args:
            file: a path, at which the file appears once it is whole; or a file opened in binary mode.
            raw: whether the input's cells stay as they are in CSV; otherwise those that a spreadsheet would take for a
                formula get a single quote in front.
            like_input: whether CSV has the delimiter and the byte order mark of the CSV that was sent.
            on_download: called with the number of bytes that have been written.
        """
        if isinstance(file, str | os.PathLike):
            with whole_file(Path(file)) as opened:
                self.download(job, opened, format, raw=raw, like_input=like_input, on_download=on_download)
            return
        if format == "ndjson":
            parts: Iterator[bytes] = (line + b"\n" for line in self._ndjson(job))
        elif format == "json":
            parts = json_array(self._ndjson(job))
        else:
            parts = self._table(job, format, {"raw": raw, "like_input": like_input})
        for part in counted(parts, on_download):
            file.write(part)

    def _table(self, job: Job | str, format: Format, asked: dict[str, bool]) -> Iterator[bytes]:
        """Yields CSV, or a spreadsheet, as it comes. After a break it cannot go on, because the bytes do not show where
        a row ends.
        """
        params: dict[str, str] = {"format": format} | {name: "1" for name, wanted in asked.items() if wanted}
        with closing(self._send("GET", f"{_path(job)}/results", params, stream=True)) as response:
            try:
                yield from response.iter_bytes()
            except BROKEN as fault:
                raise self._transport.unavailable(fault) from None

    def _ndjson(self, job: Job | str) -> Iterator[bytes]:
        """Yields the job's lines as they come; after a break it goes on where it was."""
        job = job if isinstance(job, Job) else self.job(job)
        position, patience = 0, self._transport.patience()
        while True:
            began_at, params = position, {"format": "ndjson", "cursor": str(position)}
            with closing(self._send("GET", f"{_path(job)}/results", params, stream=True)) as response:
                try:
                    for line in split_lines(response.iter_bytes()):
                        yield line
                        position += 1
                    # A proxy may end a broken answer as if it were whole.
                    if position >= job.total:
                        return
                    error = Unavailable(
                        f"The results ended after {position} of {job.total} lines.", code="results_cut_off"
                    )
                except BROKEN as fault:
                    error = self._transport.unavailable(fault)
            patience = self._transport.patience() if position > began_at else patience
            patience.bear(error)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Opens a new file beside the path, which takes the path's place if the block succeeds and is deleted otherwise."""
    if path.exists() and not path.is_file():  # a device or a pipe, such as /dev/stdout, must not be replaced by a file
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _path(job: Job | str) -> str:
    return f"/jobs/{quote(job.id if isinstance(job, Job) else job, safe='')}"
