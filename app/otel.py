"""The part of `app/tracing.py` that needs OpenTelemetry's libraries: loaded only where spans are recorded.

They cost 20 MB and half a second, and are installed only with the extra `otel`.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision

from app import __version__
from app.domain.traces import TraceParent
from app.outages import Outage
from app.telemetry import redact

MAX_WAITING = 2048  # spans
STOP_S = 1.5  # for the last batch, when the process stops
EFFECT = "spans are dropped; nothing else waits for it"

Kind: TypeAlias = Literal["SERVER", "CLIENT", "INTERNAL"]

log = structlog.get_logger()


class ChosenIds(IdGenerator):
    """The ids of the next span: they follow from the request and the job."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 0

    def generate_trace_id(self) -> int:
        """That of a span without a parent."""
        return self.trace_id

    def generate_span_id(self) -> int:
        """That of any span."""
        return self.span_id


class SpanRoom:
    """The spans that wait or are being sent, at most MAX_WAITING, and those that are dropped."""

    def __init__(self) -> None:
        self._outage = Outage("traces")
        self._lock = threading.Lock()  # spans are made in one thread and sent in another
        self._waiting = 0

    def enter(self) -> bool:
        """False, and the span is dropped, when there is no room."""
        with self._lock:
            if self._waiting >= MAX_WAITING:
                self._outage.failed("queue_full", effect=EFFECT)
                return False
            self._waiting += 1
            return True

    def leave(self, count: int, *, sent: bool) -> None:
        """So many were sent, or dropped."""
        with self._lock:
            self._waiting -= count
            if sent:
                self._outage.worked()
            else:
                self._outage.failed("not_taken", count=count, effect=EFFECT)

    @property
    def unsent(self) -> int:
        """How many wait or were dropped in the present outage."""
        with self._lock:
            return self._outage.failures + self._waiting


class CountedExporter(SpanExporter):
    """Sends batches, and tells the room what became of them."""

    def __init__(self, inner: SpanExporter, room: SpanRoom) -> None:
        self._inner = inner
        self._room = room

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch; called in the thread of the queue."""
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            self._room.leave(len(spans), sent=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._inner.shutdown()


def takes_spans(seconds: float) -> bool:
    """True when the collector accepts a batch without spans in so many seconds."""
    exporter = OTLPSpanExporter(timeout=seconds)
    try:
        return exporter.export(()) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]  # untyped in the library


class Recorder:
    """The spans of one process. `send_s` limits the sending of one batch; None: as the environment says.

    Spans are recorded in one thread only, that of the event loop.
    """

    def __init__(self, process: str, *, send_s: float | None) -> None:
        library = logging.getLogger("opentelemetry")  # its lines repeat; the room tells the same in two
        library.propagate = False
        library.addHandler(logging.NullHandler())
        resource = Resource.create({"service.version": __version__, "process.title": process})
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "filmgate"}))
        self._ids, self._room = ChosenIds(), SpanRoom()
        self._provider = TracerProvider(id_generator=self._ids, shutdown_on_exit=False, resource=resource)
        self._exporter = CountedExporter(OTLPSpanExporter(timeout=send_s), self._room)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter, max_queue_size=MAX_WAITING))
        self._tracer = self._provider.get_tracer("filmgate", __version__)

    def samples(self, trace_id: str, parent: TraceParent | None) -> bool:
        """The sampler's decision about a trace."""
        context = None if parent is None else _context(parent)
        decision = self._provider.sampler.should_sample(context, int(trace_id, 16), "").decision
        return decision is Decision.RECORD_AND_SAMPLE

    def record(
        self,
        name: str,
        within: TraceParent,
        *,
        times_ns: tuple[int, int],
        span: str,
        kind: Kind,
        error: str | None,
        attributes: Mapping[str, Any],
    ) -> None:
        """Queue a span that has ended, unless the queue is full."""
        if not self._room.enter():
            return
        self._ids.trace_id, self._ids.span_id = int(within.trace_id, 16), int(span, 16)
        began_ns, ended_ns = times_ns
        made = self._tracer.start_span(
            name,
            context=_context(within),
            kind=trace.SpanKind[kind],
            attributes={key: redact(text) if isinstance(text, str) else text for key, text in attributes.items()},
            start_time=began_ns,
        )
        if error is not None:
            made.set_status(trace.Status(trace.StatusCode.ERROR, redact(error)))
        if not made.is_recording():  # the sampler of this process says otherwise than that of the first
            self._room.leave(1, sent=True)
        made.end(max(began_ns, ended_ns))

    def close(self) -> None:
        """Send what waits, at most for STOP_S, however long the collector takes."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True, name="traces")
        closing.start()
        closing.join(STOP_S)
        if closing.is_alive():
            self._exporter.shutdown()  # ends the pause before another try; the thread itself may be in a call
        if unsent := self._room.unsent:
            log.warning("traces.dropped", spans=unsent)


def _context(parent: TraceParent) -> Context:
    """OpenTelemetry's form of it; without a span, the next one has no parent."""
    if not parent.span:
        return trace.set_span_in_context(trace.INVALID_SPAN)
    flags = trace.TraceFlags(int(parent.sampled))
    where = trace.SpanContext(int(parent.trace_id, 16), int(parent.span, 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(where))
