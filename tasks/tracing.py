"""One trace from a request to the engine: OpenTelemetry, if OTEL_EXPORTER_OTLP_ENDPOINT is set. Without it none of it
is imported.

    POST /predict         the request                                   web
      wait                its text's, in the coalescer and after        web
        send              one message with the texts of many requests   web
          chunk           the worker's part, with links to the others   worker
            engine        one call of the engine                        worker

A job's chunks are children of the request that made it, those that workers send later too.
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

import structlog

from tasks.errors import SettingsRefused
from tasks.logs import CURRENT_REQUEST, CURRENT_TRACE
from tasks.settings import Settings

if TYPE_CHECKING:  # the web imports neither
    from opentelemetry.trace import Span, SpanContext

    from model.analysis import Analysis
    from model.engine import Engine, Scores

ORIGIN_LIMIT = 32
"""Requests that a chunk names: a message shall not grow with what only a log's reader wants."""
_REQUEST_IDS, _PARENT, _OTHERS = "request_ids", "traceparent", "tracelinks"


@dataclass(frozen=True, slots=True)
class Origin:
    """The requests that a chunk is sent for: their ids, and their spans as W3C `traceparent`; of the spans the first is
    the parent.
    """

    request_ids: tuple[str, ...] = ()
    traceparents: tuple[str, ...] = ()

    @classmethod
    def of(cls, origins: Iterable[Origin]) -> Origin:
        """Of several requests. A span that is recorded goes before one that is not: the chunk's are recorded if their
        parent is.
        """
        known = list(dict.fromkeys(origins))
        ids = [id_ for origin in known for id_ in origin.request_ids]
        spans = sorted(
            (span for origin in known for span in origin.traceparents), key=lambda span: not int(span[-2:], 16) & 1
        )
        return cls(tuple(ids[:ORIGIN_LIMIT]), tuple(spans[:ORIGIN_LIMIT]))

    @classmethod
    def read(cls, headers: Mapping[str, object]) -> Origin:
        """From a message's headers."""
        ids, others, parent = (headers.get(name) for name in (_REQUEST_IDS, _OTHERS, _PARENT))
        spans = [parent, *(others if isinstance(others, list) else [])] if isinstance(parent, str) else []
        strings = [
            tuple(str(value) for value in values[:ORIGIN_LIMIT])
            for values in (ids if isinstance(ids, list) else [], spans)
        ]
        return cls(*strings)

    def headers(self) -> dict[str, object]:
        """As a message's headers; what there is none of is left out."""
        found: dict[str, object] = {_REQUEST_IDS: list(self.request_ids)} if self.request_ids else {}
        if self.traceparents:
            found[_PARENT] = self.traceparents[0]
        if len(self.traceparents) > 1:
            found[_OTHERS] = list(self.traceparents[1:])
        return found


NOBODY = Origin()
_CHUNK_ORIGIN: ContextVar[Origin | None] = ContextVar("chunk_origin", default=None)


class Tracing:
    """OpenTelemetry's tracer, as far as it is used here. One for each process, made after any fork: it has a thread
    that exports.
    """

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
        """A span around what is done in it, child of the one around it.

        Args:
            name: without ids: spans of the same kind have the same name.
            kind: server, producer, consumer or internal.
            carrier: headers with the W3C `traceparent` of the parent, if it is another process's; one that is not valid
                begins a new trace.
            others: further spans that led to it, linked.
            attributes: of the span. Never a text.
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
        """Marks a span whose error was no exception."""
        span.set_status(self._trace.StatusCode.ERROR)

    def traceparent(self) -> tuple[str, ...]:
        """The span around the caller, in W3C's form; empty if there is none."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return (carrier[_PARENT],) if carrier else ()

    def _context(self, traceparent: str) -> SpanContext:
        return self._trace.get_current_span(self._propagator.extract({_PARENT: traceparent})).get_span_context()


def require_tracing(settings: Settings) -> None:
    """Returns if what the settings want can be imported.

    Raises:
        SettingsRefused: traces are wanted, and the packages are not there.
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
            " install the extra `otel` (make run EXTRAS=otel), or unset this variable"
        )


def start_tracing(settings: Settings, role: str) -> Tracing | None:
    """The process's tracing; None if there shall be none."""
    return None if settings.otel_exporter_otlp_endpoint is None else Tracing(role)


def here(tracing: Tracing | None) -> Origin:
    """The origin of what is sent now: that of the chunk that a worker scores, or the request that the web serves."""
    if (origin := _CHUNK_ORIGIN.get()) is not None:
        return origin
    request_id = CURRENT_REQUEST.get()
    return Origin((request_id,) if request_id else (), tracing.traceparent() if tracing is not None else ())


@contextmanager
def sending(tracing: Tracing | None, origins: Iterable[Origin], texts: int) -> Iterator[Origin]:
    """Around the sending of one message for several requests; gives the origin that it is to carry."""
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
    """Around a worker's work on a chunk: what it logs names chunk, job and requests, and what it sends has the same
    origin.
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
    """An engine whose calls are spans. Those of several threads may be scored in one call; each has its own span, with
    its wait for it.
    """

    def __init__(self, engine: Engine, tracing: Tracing) -> None:
        self._engine = engine
        self._tracing = tracing

    @property
    def analysis(self) -> Analysis:
        """The engine's."""
        return self._engine.analysis

    @property
    def identity(self) -> str:
        """The engine's."""
        return self._engine.identity

    @property
    def device(self) -> str:
        """The engine's."""
        return self._engine.device

    def warm(self) -> None:
        """See `model.engine.Engine`."""
        self._engine.warm()

    def score(self, texts: Sequence[str]) -> Scores:
        """See `model.engine.Engine`."""
        with self._tracing.span("engine", attributes={"sentiq.texts": len(texts), "sentiq.model": self.identity}):
            return self._engine.score(texts)
