"""Traces from a request to the engine. OpenTelemetry is imported only if OTEL_EXPORTER_OTLP_ENDPOINT is set.

    POST /predict         the request                                      web
      wait                the wait for the answer to its text              web
        send              one message with the texts of several requests   web
          chunk           the worker's part, linked to all requests        worker
            engine        one call of the engine                           worker

All chunks of a job, including those that workers send later, are children of the request that made the job.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import orjson
import structlog

from tasks.errors import SettingsRefused
from tasks.logs import CURRENT_REQUEST, CURRENT_TRACE
from tasks.settings import Settings

if TYPE_CHECKING:  # the web imports neither
    from opentelemetry.trace import Span, SpanContext

    from model.engine import Engine, Scores

ORIGIN_LIMIT = 32
"""The most requests that a chunk names, so that messages stay small."""
_REQUEST_IDS, _PARENT, _OTHERS = "request_ids", "traceparent", "tracelinks"


@dataclass(frozen=True, slots=True)
class Origin:
    """The requests that a chunk is sent for: their ids, and their spans as W3C `traceparent`, the parent first."""

    request_ids: tuple[str, ...] = ()
    traceparents: tuple[str, ...] = ()

    @classmethod
    def of(cls, origins: Iterable[Origin]) -> Origin:
        """The common origin of several requests.

        Recorded spans come before others, as the chunk's spans are recorded only if their parent is.
        """
        known = list(dict.fromkeys(origins))
        ids = [id_ for origin in known for id_ in origin.request_ids]
        spans = sorted(
            (span for origin in known for span in origin.traceparents), key=lambda span: not int(span[-2:], 16) & 1
        )
        return cls(tuple(ids[:ORIGIN_LIMIT]), tuple(spans[:ORIGIN_LIMIT]))

    @classmethod
    def read(cls, headers: Mapping[str, object]) -> Origin:
        """Reads the origin from a message's headers."""
        ids, others, parent = (headers.get(name) for name in (_REQUEST_IDS, _OTHERS, _PARENT))
        spans = [parent, *(others if isinstance(others, list) else [])] if isinstance(parent, str) else []
        strings = [
            tuple(str(value) for value in values[:ORIGIN_LIMIT])
            for values in (ids if isinstance(ids, list) else [], spans)
        ]
        return cls(*strings)

    @classmethod
    def from_json(cls, raw: bytes) -> Origin:
        """The reverse of `to_json`; nobody if that cannot be read."""
        try:
            headers = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return NOBODY
        return cls.read(headers) if isinstance(headers, dict) else NOBODY

    def to_json(self) -> str | None:
        """The origin as a job keeps it; None for nobody."""
        headers = self.headers()
        return orjson.dumps(headers).decode() if headers else None

    def headers(self) -> dict[str, object]:
        """The origin as headers of a message, without empty ones."""
        found: dict[str, object] = {_REQUEST_IDS: list(self.request_ids)} if self.request_ids else {}
        if self.traceparents:
            found[_PARENT] = self.traceparents[0]
        if len(self.traceparents) > 1:
            found[_OTHERS] = list(self.traceparents[1:])
        return found


NOBODY = Origin()
_CHUNK_ORIGIN: ContextVar[Origin | None] = ContextVar("chunk_origin", default=None)


class Tracing:
    """The part of OpenTelemetry that is used here. A process makes one, after any fork, as it starts a thread."""

    def __init__(self, role: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        who = {"service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            who["service.name"] = f"sentiq-{role}"
        provider = TracerProvider(resource=Resource.create(who))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = provider.get_tracer("sentiq")

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: str = "internal",
        carrier: Mapping[str, str] | None = None,
        others: Sequence[str] = (),
        attributes: Mapping[str, str | int] | None = None,
    ) -> Iterator[Span]:
        """A context that is a span, a child of the span around it.

        Args:
            name: the name, without ids: spans of the same kind have the same name.
            kind: server, producer, consumer or internal.
            carrier: headers with the W3C `traceparent` of a parent in another process; an invalid one begins a new
                trace.
            others: further spans to link to.
            attributes: attributes of the span, never a text.
        """
        trace = self._trace
        span = self._tracer.start_span(
            name,
            context=None if carrier is None else self._propagator.extract(carrier),
            kind=trace.SpanKind[kind.upper()],
            links=[trace.Link(context) for context in map(self._context, others) if context.is_valid],
            attributes=attributes,
        )
        # OpenTelemetry would export an error's message, which may quote a text.
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            token = CURRENT_TRACE.set(f"{span.get_span_context().trace_id:032x}")
            try:
                yield span
            except Exception as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__qualname__)
                raise
            finally:
                CURRENT_TRACE.reset(token)

    def failed(self, span: Span) -> None:
        """Marks a span as failed although no exception was raised."""
        span.set_status(self._trace.StatusCode.ERROR)

    def traceparent(self) -> tuple[str, ...]:
        """The current span as W3C `traceparent`; empty if there is none."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return (carrier[_PARENT],) if carrier else ()

    def _context(self, traceparent: str) -> SpanContext:
        return self._trace.get_current_span(self._propagator.extract({_PARENT: traceparent})).get_span_context()


def require_tracing(settings: Settings) -> None:
    """Checks that OpenTelemetry is installed if the settings ask for traces.

    Raises:
        SettingsRefused: it is not installed.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        return
    try:
        found = all(map(find_spec, ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")))
    except ModuleNotFoundError:
        found = False
    if not found:
        raise SettingsRefused(
            "OTEL_EXPORTER_OTLP_ENDPOINT: OpenTelemetry is not installed;"
            " install it (`make run EXTRAS=otel`, or pip install 'sentiq[otel]' --constraint constraints.txt),"
            " or unset this variable"
        )


def start_tracing(settings: Settings, role: str) -> Tracing | None:
    """Starts tracing in this process; None if the settings do not ask for traces."""
    return None if settings.otel_exporter_otlp_endpoint is None else Tracing(role)


def here(tracing: Tracing | None) -> Origin:
    """The origin of a message that is sent now: that of the chunk being scored, or the request being served."""
    if (origin := _CHUNK_ORIGIN.get()) is not None:
        return origin
    request_id = CURRENT_REQUEST.get()
    return Origin((request_id,) if request_id else (), tracing.traceparent() if tracing is not None else ())


@contextmanager
def sending(tracing: Tracing | None, origins: Iterable[Origin], texts: int) -> Iterator[Origin]:
    """A context for sending one message on behalf of several requests; yields the origin for its headers."""
    origin = Origin.of(origins)
    if tracing is None or not origin.traceparents:
        yield origin
        return
    parent, *others = origin.traceparents
    with tracing.span(
        "send", kind="producer", carrier={_PARENT: parent}, others=others, attributes={"sentiq.texts": texts}
    ):
        yield replace(origin, traceparents=(*tracing.traceparent(), *others))


@contextmanager
def scoring(tracing: Tracing | None, headers: Mapping[str, object], chunk: object, chunk_id: str) -> Iterator[None]:
    """A context for a worker's work on a chunk.

    Log lines in it name chunk, job and requests, and messages that are sent in it get the chunk's origin.
    """
    origin = Origin.read(headers)
    names: dict[str, object] = {"chunk_id": chunk_id}
    if isinstance(chunk, dict) and "job" in chunk:
        names["job_id"] = chunk["job"]
    token = _CHUNK_ORIGIN.set(origin)
    try:
        with structlog.contextvars.bound_contextvars(
            **names, **({_REQUEST_IDS: list(origin.request_ids)} if origin.request_ids else {})
        ):
            if tracing is None:
                yield
                return
            parent, others = origin.traceparents[:1], origin.traceparents[1:]
            attributes = {f"sentiq.{name}": str(value) for name, value in names.items()}
            with tracing.span(
                "chunk", kind="consumer", carrier={_PARENT: "".join(parent)}, others=others, attributes=attributes
            ):
                yield
    finally:
        _CHUNK_ORIGIN.reset(token)


class TracedEngine:
    """An engine wrapper that makes a span of each call.

    If calls of several threads are merged into one, each still has its own span, which includes the wait.
    """

    def __init__(self, engine: Engine, tracing: Tracing) -> None:
        self._engine = engine
        self._tracing = tracing
        self.analysis, self.identity, self.description = engine.analysis, engine.identity, engine.description
        self.device, self.warm, self.count = engine.device, engine.warm, engine.count

    def score(self, texts: Sequence[str]) -> Scores:
        """See `model.engine.Engine`."""
        with self._tracing.span("engine", attributes={"sentiq.texts": len(texts), "sentiq.model": self.identity}):
            return self._engine.score(texts)
