"""A stream of the service: what one can ask of it, as coroutines, and the blocking twin."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal, Unpack
from urllib.parse import quote as quoted

from webapp.client.bodies import body_of, json_body, labels_body, server_events
from webapp.client.connections import blocking, iterating
from webapp.client.files import FileOptions, query_with
from webapp.client.http import BROKEN, UPLOAD_S, Time, Transport, json_object, query, written
from webapp.client.shares import (
    Bucket,
    Comparison,
    Comparisons,
    Event,
    Labels,
    NamedShares,
    Rows,
    SampledText,
    Shift,
    StreamState,
    rows,
)
from webapp.client.types import Job, Label, Unavailable, understood

_SILENT_S = 60.0
"""How long a stream of events may be silent: the service says every 15 s that it is still there."""
_EVENTS: dict[str, type[Bucket] | type[Shift] | type[StreamState]] = {
    "bucket": Bucket,
    "shift": Shift,
    "stream": StreamState,
}


class AsyncStream:
    """A stream, as `AsyncSentiq.stream` gives it. Nothing is asked of the service until a method is called."""

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport, self._send, self._connection = transport, transport.send, transport.connection
        self.name = name
        self._path = f"/streams/{quoted(name, safe='')}"

    async def create(
        self,
        *,
        ttl: int | None = None,
        keep_sample: bool = False,
        mask_segments: Mapping[str, Sequence[str]] | Literal[False] | None = None,
        sensitivity: float | None = None,
        callback_url: str | None = None,
    ) -> StreamState:
        """Makes the stream, or gives one that is there other settings: of what is left out the defaults.

        Args:
            ttl: seconds that what was counted is kept; by default as long as the service keeps any.
            keep_sample: whether the texts of the random sample are kept, so that they can be labelled.
            mask_segments: other names of segments, by segment, which are masked as the segment's own is, since a name
                by itself moves a score; False if nothing is to be masked.
            sensitivity: how many false alarms a day shifts may have.
            callback_url: the address to which the service posts each shift.
        """
        given = {
            "ttl": ttl,
            "keep_sample": keep_sample or None,
            "mask_segments": mask_segments,
            "sensitivity": sensitivity,
            "callback_url": callback_url,
        }
        body = json_body({name: value for name, value in given.items() if value is not None})
        return StreamState.of(json_object(await self._send("PUT", self._path, body=body)))

    async def state(self) -> StreamState:
        """The stream as it is now.

        Raises:
            StreamNotFound: there is none of this name, or no longer.
        """
        return StreamState.of(json_object(await self._send("GET", self._path)))

    async def delete(self) -> None:
        """Removes the stream with all that is kept of it.

        Raises:
            StreamNotFound: as in `state`.
        """
        await self._send("DELETE", self._path)

    async def send(
        self,
        texts: Iterable[str | Mapping[str, Any]] | str | os.PathLike[str] | IO[bytes],
        *,
        time: str | None = None,
        segment: str | None = None,
        author: str | None = None,
        id: str | None = None,
        tz: str | None = None,
        dates: Literal["day-first", "month-first"] | None = None,
        gold: Literal["all", "random"] | None = None,
        content_type: str | None = None,
        idempotency_key: str | None = None,
        on_upload: Callable[[int], None] | None = None,
        **reading: Unpack[FileOptions],
    ) -> Job:
        """Sends texts to be scored and counted; `wait` for the job that is returned to see them counted.

        A text that is sent again after a broken connection is counted once. What can be read only once, such as a
        generator, is not sent again. A text with an `id` is counted once, however often it is sent.

        Args:
            texts: texts, or objects with `text` and any of `time`, `segment`, `author`, `id`, of which `time` may be a
                `datetime` with a zone; or the path of a file, or an open one, as in `Sentiq.submit`. Texts without a
                time are counted when they come in.
            time: the column, or the key of objects, with the times, if it has another name than `time`.
            segment: as `time`.
            author: as `time`.
            id: as `time`.
            tz: the time zone of times that have none, such as `Europe/Berlin`; by default UTC.
            dates: which part comes first in dates like 3/4/2026.
            gold: `random` if the texts that come with a person's label, `gold`, are a random sample of all.
            content_type: of a file: as in `Sentiq.submit`.
            idempotency_key: the same key sends nothing twice. By default each call has its own.
            on_upload: called with the number of bytes that have been sent.
            reading: how a file is to be read, and which column has the texts: as in `Sentiq.submit`.

        Raises:
            ValueError: a time has no zone, or the file's type is not known.
            StreamNotFound: as in `state`.
            SentiqError: the service refused; `line` says where.
        """
        with Path(texts).open("rb") if isinstance(texts, str | os.PathLike) else nullcontext(texts) as source:
            body = body_of(source, content_type, on_upload, _record)
            params = query_with(
                reading, time=time, segment=segment, author=author, id=id, tz=tz, dates=dates, gold=gold
            )
            headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
            response = await self._send("POST", f"{self._path}/texts", params, headers, body=body, silent_s=UPLOAD_S)
            return Job.of(json_object(response))

    async def series(
        self,
        *segments: str,
        bucket: Literal["minute", "hour", "day"] | None = None,
        tz: str | None = None,
        masked: bool | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> Rows[Bucket]:
        """The shares over time, of each segment or of those that are named.

        Args:
            segments: their names.
            bucket: how long a bucket is; by default an hour.
            tz: the time zone in which hours and days begin, such as `Europe/Berlin`; by default UTC.
            masked: whether the scores count that texts have with the names of segments masked.
            start: from when on.
            end: before when.
        """
        params = query(segment=segments, bucket=bucket, tz=tz, masked=masked, **_span(start, end))
        answer = json_object(await self._send("GET", f"{self._path}/series", params))
        with understood:
            return rows(Bucket, answer["items"])

    async def compare(
        self,
        *segments: str,
        at: Time | None = None,
        window: str | None = None,
        other: str | None = None,
        masked: bool | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> Comparisons:
        """Compares segments, each with each; or the time before with the time after; or this stream with another.

        Args:
            segments: the segments' names; with `at` or `other`, one, or none for all texts.
            at: the time that divides before from after.
            window: how long before and after last, such as `24h`.
            other: the name of another stream.
            masked: whether the scores count that texts have with the names of segments masked; by default they do
                where different segments are compared.
            start: only texts from then on.
            end: only texts before then.
        """
        two = len(segments) == 2
        params = query(
            **({"a": segments[0], "b": segments[1]} if two else {"segment": segments}),
            **{"at": at, "window": window, "with": other, "masked": masked, **_span(start, end)},
        )
        answer = json_object(await self._send("GET", f"{self._path}/compare", params))
        with understood:
            shares, items = rows(NamedShares, answer["shares"]), rows(Comparison, answer["items"])
            return Comparisons(items, shares, masked=answer["masked"], adjustment=answer["adjustment"])

    async def sample(
        self,
        count: int | None = None,
        *,
        by: str | None = None,
        segment: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> Rows[SampledText]:
        """Random texts of the stream that have no label yet, to be labelled by a person. Only streams that were made
        with `keep_sample` have any.

        Args:
            count: how many at most.
            by: who will label them. The same person is given no text twice.
            segment: of which segment; by default of all, in proportion.
            start: only texts from then on.
            end: only texts before then.
        """
        params = query(limit=count, by=by, segment=segment, **_span(start, end))
        answer = json_object(await self._send("GET", f"{self._path}/sample", params))
        with understood:
            return rows(SampledText, answer["items"])

    async def labels(self) -> Labels:
        """What the stream has of labels."""
        return Labels.of(json_object(await self._send("GET", f"{self._path}/labels")))

    async def label(self, labels: Mapping[str, Label | Literal["cannot tell"]], *, by: str | None = None) -> Labels:
        """Gives texts of the sample a person's labels, and returns what the stream then has of them.

        Args:
            labels: the label of each text, by the text's id.
            by: who labelled them. A second person's label of the same text shows how far the two agree.
        """
        body = labels_body(labels, by)
        return Labels.of(json_object(await self._send("POST", f"{self._path}/labels", body=body)))

    async def shifts(self) -> Rows[Shift]:
        """The shifts that were found, the newest first."""
        answer = json_object(await self._send("GET", f"{self._path}/shifts"))
        with understood:
            return rows(Shift, answer["items"])

    async def events(self) -> AsyncIterator[Event]:
        """Yields what happens in the stream as it happens: buckets whose counts have changed, and shifts. After a
        broken connection it goes on where it was; it ends only with the stream, by StreamNotFound.
        """
        last, patience = None, self._transport.patience()
        while True:
            headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
            response = await self._send("GET", f"{self._path}/events", None, headers, stream=True, silent_s=_SILENT_S)
            error = Unavailable("The service ended the events.", code="events_cut_off")
            async with aclosing(self._connection.parts(response)) as parts:
                try:
                    async for kind, id, data in server_events(parts):
                        last, patience = id or last, self._transport.patience()
                        if kind == "reset":
                            yield Event("reset", None)
                        elif kind in _EVENTS:
                            with understood:
                                body = json.loads(data)
                            yield Event(kind, _EVENTS[kind].of(body))  # type: ignore[arg-type]
                except BROKEN as fault:
                    error = self._transport.unavailable(fault)
            await patience.bear(error)


class Stream:
    """A stream, as `Sentiq.stream` gives it. Nothing is asked of the service until a method is called."""

    def __init__(self, calls: AsyncStream) -> None:
        self._calls = calls
        self.name = calls.name

    create = blocking(AsyncStream.create)
    state = blocking(AsyncStream.state)
    delete = blocking(AsyncStream.delete)
    send = blocking(AsyncStream.send)
    series = blocking(AsyncStream.series)
    compare = blocking(AsyncStream.compare)
    sample = blocking(AsyncStream.sample)
    label = blocking(AsyncStream.label)
    labels = blocking(AsyncStream.labels)
    shifts = blocking(AsyncStream.shifts)
    events = iterating(AsyncStream.events)


def _record(text: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(text, str):
        return {"text": text}
    time = text.get("time")
    return {**text, "time": written(time)} if isinstance(time, datetime) else dict(text)


def _span(start: Time | None, end: Time | None) -> dict[str, Time | None]:
    return {"from": start, "to": end}
