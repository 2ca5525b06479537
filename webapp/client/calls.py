"""What one can ask of a service, as coroutines: the methods of `AsyncSentiq`, and behind those of `Sentiq`."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import IO, Any, Literal, Unpack

import httpx

from webapp.client.bodies import Meter, body_of, json_array, json_body, split_lines, whole_file, with_newlines
from webapp.client.files import FileOptions, query_with
from webapp.client.frames import Texts, column_of, frame_of, readable
from webapp.client.http import BROKEN, UPLOAD_S, Time, Transport, json_object, written
from webapp.client.labelling import LabelCalls, job_path
from webapp.client.shares import Rows, StreamState, rows
from webapp.client.types import (
    Job,
    Label,
    Line,
    Prediction,
    Purged,
    SentiqError,
    Status,
    Unavailable,
    Waiting,
    WaitTimeout,
    understood,
)

Format = Literal["csv", "ndjson", "json", "xlsx"]


class Calls(LabelCalls):
    """One service's answers."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._transport, self._connection = transport, transport.connection
        self.url = transport.url
        """The service's address, without user and password."""

    async def close(self) -> None:
        """Closes the connections."""
        await self._connection.close()

    async def predict(
        self,
        text: str,
        *,
        model: str | None = None,
        target: str | None = None,
        sentences: bool = False,
        explain: bool = False,
        stream: str | None = None,
        segment: str | None = None,
        time: Time | None = None,
        author: str | None = None,
        id: str | int | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Scores one text; if the service makes a job of it, waits for the job.

        Args:
            text: the text.
            model: the name of a model of the service, where it has several; None for its own choice.
            target: what the text is scored towards, such as a person or product.
            sentences: whether each sentence gets an answer, too.
            explain: whether each word gets its weight.
            stream: the name of a stream that counts the text.
            segment: in the stream: what the text is about.
            time: in the stream: when it was written, such as a `datetime` with a zone; None for now.
            author: in the stream: who wrote it.
            id: in the stream: a text whose id was counted before is not counted again. Without one each call has its
                own, so that a text that is sent again after a broken connection is counted once.
            timeout_s: seconds to wait for a job; None for no limit.

        Raises:
            WaitTimeout: it took longer than `timeout_s`; the job goes on.
            SentiqError: with the code `empty_text`, `text_too_long` or `text_failed`, the text is at fault.
        """
        more = {"model": model, "target": target, "sentences": sentences, "explain": explain}
        body: dict[str, Any] = {"text": text} | {name: value for name, value in more.items() if value}
        counted = {"segment": segment, "time": None if time is None else written(time), "author": author}
        if stream is not None:
            body |= {"stream": stream, "id": uuid.uuid4().hex if id is None else id}
            body |= {name: value for name, value in counted.items() if value is not None}
        elif id is not None or any(value is not None for value in counted.values()):
            raise ValueError("segment, time, author and id are of a stream; name one, as in stream='debate'")
        response = await self._send("POST", "/predict", body=json_body(body))
        if response.status_code != 202:
            return Prediction.of(json_object(response))
        job = await self.wait(Job.of(json_object(response)), timeout_s=timeout_s)
        raw = [line async for line in self._ndjson(job)]
        with understood:
            (line,) = map(json.loads, raw)
            error = None if line["status"] == "done" else line["error"]["code"] if "error" in line else "job_cancelled"
        if error is not None:
            raise SentiqError("The text has no prediction.", code=error)
        return Prediction.of(line)

    async def submit(
        self,
        texts: Iterable[str | dict[str, Any]] | str | os.PathLike[str] | IO[bytes],
        *,
        content_type: str | None = None,
        name: str | None = None,
        callback_url: str | None = None,
        model: str | None = None,
        target: str | None = None,
        sentences: bool = False,
        idempotency_key: str | None = None,
        on_upload: Callable[[int], None] | None = None,
        **reading: Unpack[FileOptions],
    ) -> Job:
        """Submits a job. The texts are never in memory all at once. Texts that can be read only once are not sent
        again.

        Args:
            texts: texts, or objects with `text` and `id`; or the path of a file (.csv, .tsv, .ndjson, .jsonl, .txt,
                .json, each also with .gz; .xlsx, .xls, .ods, or .zip of one file); or such a file,
                opened in binary mode; or a pandas.Series; or a pandas.DataFrame and the name of its `column`, whose
                other columns come back with the lines. What is missing there is an empty text.
            content_type: a file's type, if its name does not tell: an ending (`.csv.gz`) or a media type.
            name: what the job is called where jobs are listed.
            callback_url: the address to which the service posts the job when it has ended.
            model: as in `predict`.
            target: as in `predict`, for all texts.
            sentences: as in `predict`.
            idempotency_key: the same key creates no second job. By default each call has its own.
            on_upload: called with the number of bytes that have been sent.
            reading: how a file is to be read: any of `column`, `delimiter`, `encoding`, `quote`, `escape`, `header`,
                `skip`, `on_error` and `sheet`, as `FileOptions` describes them.

        Raises:
            ValueError: the file's type is not known, or a DataFrame has no such column or something else than texts in
                it.
            TypeError: what was given has no texts when it is iterated, as a dict or a DataFrame without `column`.
            OSError: the file cannot be read.
            SentiqError: the service refused; `line` says where in the file.
        """
        texts = readable(texts, reading.get("column"))
        with Path(texts).open("rb") if isinstance(texts, str | os.PathLike) else nullcontext(texts) as source:
            body = body_of(source, content_type, on_upload)
            headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
            params = query_with(
                reading, name=name, callback_url=callback_url, model=model, target=target, sentences=sentences or None
            )
            return Job.of(
                json_object(await self._send("POST", "/batch_predict", params, headers, body=body, silent_s=UPLOAD_S))
            )

    async def predict_frame(
        self,
        texts: Any,
        column: str | None = None,
        *,
        model: str | None = None,
        target: str | None = None,
        timeout_s: float | None = None,
        on_progress: Callable[[Job], None] | None = None,
    ) -> Any:
        """Scores the texts of a pandas.DataFrame or Series, as a job, and waits for it.

        Args:
            texts: the frame, or the series.
            column: of a frame: the column with the texts.
            model: as in `predict`.
            target: as in `predict`, for all texts.
            timeout_s: seconds to wait; None for no limit.
            on_progress: as in `wait`.

        Returns:
            A DataFrame with the index of what was given and a row for each of its texts, in the same order: `label`,
            `confidence`, a column for each class with its score, `language`, `uncertain`, and `error`, which is
            `empty_text` where there is no text. `attrs["job"]` is the job's id.

        Raises:
            TypeError: it is neither, or the column of a frame is not named.
            ValueError: there is no such column, or there is something in it that is no text.
            WaitTimeout: the job has not ended; it goes on.
        """
        series = column_of(texts, column)
        sent = Texts(series)
        lines: list[Line] = []
        job = None
        if len(series):
            job = await self.submit(sent, model=model, target=target)
            await self.wait(job, timeout_s=timeout_s, on_progress=on_progress)
            lines = [line async for line in self.results(job)]
        classes: list[Label] = list(dict.fromkeys(name for line in lines for name in line.scores or ()))
        if not classes:
            of = {} if model is None else {"model": model}
            classes = sorted(json_object(await self._send("GET", "/model", of))["labels"])
        return frame_of(lines, series.index, job.id if job is not None else None, classes)

    async def streams(self) -> Rows[StreamState]:
        """The streams of the caller's key."""
        answer = json_object(await self._send("GET", "/streams"))
        with understood:
            return rows(StreamState, answer["items"])

    async def job(self, job: Job | str) -> Job:
        """The job as it is now."""
        return Job.of(json_object(await self._send("GET", job_path(job))))

    async def jobs(self, status: Status | None = None) -> AsyncIterator[Job]:
        """All jobs, or those with this status, newest first."""
        params: dict[str, str] | None = {} if status is None else {"status": status}
        while params is not None:
            page = json_object(await self._send("GET", "/jobs", params))
            with understood:
                jobs = list(map(Job.of, page["items"]))
                params = dict(httpx.URL(page["next"]).params) if page["next"] else None
            for job in jobs:
                yield job

    async def cancel(self, job: Job | str) -> Job:
        """Cancels the job; what is done stays readable, and a job that has ended stays as it is."""
        return Job.of(json_object(await self._send("DELETE", job_path(job))))

    async def remove(self, job: Job | str) -> None:
        """Removes a job that has ended, with its results, and frees what it keeps of your quota.

        Raises:
            JobNotFound: there is no such job, or no longer.
            SentiqError: `job_not_ended`: cancel it first.
        """
        await self._send("DELETE", job_path(job), {"purge": "1"})

    async def queue(self) -> list[Waiting]:
        """What waits to be scored, by key and model, the oldest first. It needs a key with the scope admin."""
        answer = json_object(await self._send("GET", "/queue"))
        with understood:
            return list(map(Waiting.of, answer["items"]))

    async def purge_queue(self) -> Purged:
        """Cancels all jobs that have not ended, of all keys, and empties the queues. It needs the scope admin."""
        return Purged.of(json_object(await self._send("DELETE", "/queue")))

    async def wait(
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
        step_s, pause_s = 1.0 if on_progress is not None else min(20.0, self._transport.timeout_s / 2), 0.1
        while True:
            left_s = max(0.0, until - time.monotonic())
            prefer = {"Prefer": f"wait={math.ceil(min(step_s, left_s))}"}
            response = await self._send("GET", job_path(job), None, prefer, patience_s=left_s)
            now = Job.of(json_object(response))
            if on_progress is not None:
                on_progress(now)
            if now.ended:
                return now
            if timeout_s is not None and time.monotonic() >= until:
                raise WaitTimeout(now, timeout_s)
            if "Preference-Applied" not in response.headers:  # a proxy has dropped the header
                await self._connection.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 2.0)

    async def results(self, job: Job | str) -> AsyncIterator[Line]:
        """Yields the job's lines in the order of the input, reading as they are consumed. While the job runs, some are
        pending.
        """
        async with aclosing(self._ndjson(job)) as lines:
            async for raw in lines:
                with understood:
                    line = json.loads(raw)
                    line = line | {"error": line["error"]["code"]} if "error" in line else line
                yield Line.of(line)

    async def download(
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
                await self.download(job, opened, format, raw=raw, like_input=like_input, on_download=on_download)
            return
        lines, meter = self._ndjson(job), Meter(on_download)
        if format == "ndjson":
            parts = with_newlines(lines)
        elif format == "json":
            parts = json_array(lines)
        else:
            parts = self._table(job, format, {"raw": raw, "like_input": like_input})
        async with aclosing(lines), aclosing(parts):
            async for part in parts:
                await self._connection.call(file.write, part)
                meter.add(part)
        meter.end()

    async def report(
        self,
        job: Job | str,
        *,
        time: str | None = None,
        segment: str | None = None,
        label: str | None = None,
        author: str | None = None,
        tz: str = "UTC",
        dates: Literal["day-first", "month-first"] | None = None,
        bucket: str | None = None,
        format: Literal["json", "html"] = "json",
    ) -> bytes:
        """What the texts of an ended job say together: shares, differences, series and shifts (docs/reports.md).

        Args:
            job: the job.
            time, segment, label, author: the columns that hold them; each part of the report needs its own.
            tz: the time zone in which times are told, and those without an offset are read.
            dates: how dates like 3/4/2026 are read, if the column does not show it.
            bucket: of the series, such as `1h` or `1d`; by default as the time that the texts span.
            format: `json`, or `html` for one page that stands alone.

        Raises:
            SentiqError: `job_not_ended`; or a column cannot be read as what it is said to hold.
        """
        asked = {
            "time": time, "segment": segment, "label": label, "author": author,
            "tz": tz, "dates": dates, "bucket": bucket, "format": format,
        }  # fmt: skip
        params = {name: value for name, value in asked.items() if value is not None}
        response = await self._send("GET", f"{job_path(job)}/report", params, silent_s=UPLOAD_S)
        return response.content

    async def _table(self, job: Job | str, format: Format, asked: dict[str, bool]) -> AsyncGenerator[bytes, None]:
        """Yields CSV, or a spreadsheet, as it comes. After a break it cannot go on, because the bytes do not show where
        a row ends.
        """
        params: dict[str, str] = {"format": format} | {name: "1" for name, wanted in asked.items() if wanted}
        silent_s = UPLOAD_S if format == "xlsx" else 0.0  # a spreadsheet is sent when it is whole
        response = await self._send("GET", f"{job_path(job)}/results", params, stream=True, silent_s=silent_s)
        async with aclosing(self._connection.parts(response)) as parts:
            try:
                async for part in parts:
                    yield part
            except BROKEN as fault:
                raise self._transport.unavailable(fault) from None

    async def _ndjson(self, job: Job | str) -> AsyncGenerator[bytes, None]:
        """Yields the job's lines as they come; after a break it goes on where it was."""
        job = job if isinstance(job, Job) else await self.job(job)
        position, patience = 0, self._transport.patience()
        while True:
            began_at, params = position, {"format": "ndjson", "cursor": str(position)}
            response = await self._send("GET", f"{job_path(job)}/results", params, stream=True)
            async with aclosing(self._connection.parts(response)) as parts:
                try:
                    async for lines in split_lines(parts):
                        for line in lines:
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
            await patience.bear(error)
