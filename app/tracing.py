"""OpenTelemetry: the spans of requests, jobs and deliveries, for a collector (extra `otel`).

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set, and then as OpenTelemetry's own OTEL_* variables say. A span is
recorded when it has ended, with its times: nothing is open while a job waits for hours and passes through many
processes. Spans wait in a queue of limited length for a thread that sends them; what does not fit, or what the
collector does not take in time, is dropped and counted in the log.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import structlog

from app.domain.jobs import Job
from app.domain.traces import TraceParent, new_span, standard_id

if TYPE_CHECKING:
    from app.otel import Recorder

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
PROTOCOL = "http/protobuf"
SEND_S = 3  # for one batch, with its repetitions; OpenTelemetry's default is 10
TRIAL_S = 3  # for the trial of `filmgate doctor`
MS_NS = 1_000_000
SAMPLERS = (
    "always_on", "always_off", "traceidratio",
    "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
)  # fmt: skip

Attributes: TypeAlias = Mapping[str, str | float | None]
NOTHING: Attributes = {}

log = structlog.get_logger()

_current: ContextVar[TraceParent | None] = ContextVar("trace", default=None)
_recorder: "Recorder | None" = None


def start(environ: Mapping[str, str], *, process: str) -> None:
    """Record spans from now on, if the environment says so; a line in the log where that cannot be done.

    To be called once in a process, after its fork: it starts a thread. What is wrong here never stops the gateway.
    """
    global _recorder  # noqa: PLW0603  spans are recorded in many places, and cost nothing where it is off
    if not _is_wanted(environ):
        return
    try:
        _recorder = _open(environ, process)
    except Unusable as why:
        log.warning("traces.off", reason=why.reason, remedy=why.remedy)


class Unusable(Exception):
    """No span can be recorded with this environment: why, without values that may be secret, and what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def trial(environ: Mapping[str, str]) -> bool | None:
    """Whether the collector takes a batch without spans, within TRIAL_S; None where it is off.

    The library reads `os.environ` itself. Unusable where a start would record nothing.
    """
    if not _is_wanted(environ):
        return None
    _open(environ, "doctor").close()
    from app.otel import takes_spans  # noqa: PLC0415  as below

    return takes_spans(TRIAL_S)


def _open(environ: Mapping[str, str], process: str) -> "Recorder":
    protocol = next(filter(None, map(environ.get, PROTOCOLS)), PROTOCOL)
    if protocol != PROTOCOL:
        remedy = f"{PROTOCOL} is spoken here: set OTEL_EXPORTER_OTLP_PROTOCOL, and the collector's port for it"
        raise Unusable(f"another protocol: {protocol[:20]}", remedy)
    name = next(one for one in ENDPOINTS if environ.get(one))
    if not environ[name].startswith(("http://", "https://")):
        raise Unusable(f"{name} is no http or https address", "write it as http://HOST:4318")
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if sampler and sampler not in SAMPLERS:  # the library would record everything instead
        raise Unusable("OTEL_TRACES_SAMPLER is none that is known", f"set one of {', '.join(SAMPLERS)}")
    try:
        from app.otel import Recorder  # noqa: PLC0415  loaded only where it is on

        return Recorder(process, send_s=None if any(map(environ.get, TIMEOUTS)) else SEND_S)
    except ImportError:
        raise Unusable("the extra [otel] is not installed", "pip install 'filmgate[otel]'") from None
    except Exception as error:  # noqa: BLE001  whatever the library does not like about an OTEL_* variable
        raise Unusable(f"{type(error).__name__}: {error}", "correct the OTEL_* variables") from None


def preload(environ: Mapping[str, str]) -> None:
    """Load the libraries, if they will be used, for all children of this process."""
    if _is_wanted(environ):
        with suppress(ImportError):
            import app.otel  # noqa: F401, PLC0415  as above


def _is_wanted(environ: Mapping[str, str]) -> bool:
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and any(map(environ.get, ENDPOINTS)) and environ.get("OTEL_TRACES_EXPORTER") != "none"


def stop() -> None:
    """Send what waits, for a moment, and record nothing more."""
    global _recorder
    recorder, _recorder = _recorder, None
    if recorder is not None:
        recorder.close()


def is_on() -> bool:
    """True while spans are recorded."""
    return _recorder is not None


def is_sampled(trace_id: str, parent: TraceParent | None) -> bool | None:
    """True for a trace that is recorded, here or by the caller: as the caller says, or by OTEL_TRACES_SAMPLER."""
    if _recorder is not None:
        return _recorder.samples(standard_id(trace_id), parent) or None
    return (parent is not None and parent.sampled) or None


def begin(within: TraceParent) -> None:
    """The next spans of this task belong there."""
    _current.set(within)


def current() -> TraceParent | None:
    """Where the next spans of this task belong."""
    return _current.get()


def record(
    name: str,
    within: TraceParent | None,
    *,
    began_ns: int,
    ended_ns: int | None = None,
    span: str | None = None,
    kind: Literal["SERVER", "CLIENT", "INTERNAL"] = "INTERNAL",
    error: str | None = None,
    attributes: Attributes = NOTHING,
) -> None:
    """A span that has ended, now or at `ended_ns` (unix, nanoseconds).

    `within` is its trace and its parent. `error` is a word or a sentence. Attributes that are None are left out.
    """
    if _recorder is not None and within is not None and within.sampled:
        _recorder.record(
            name,
            within,
            times_ns=(began_ns, ended_ns or time.time_ns()),
            span=span or new_span(),
            kind=kind,
            error=error,
            attributes={key: value for key, value in attributes.items() if value is not None},
        )


def record_step(
    job: Job, name: str, *, within: TraceParent | None = None, attributes: Attributes = NOTHING, **rest: Any
) -> None:
    """A span of a job, below its admission unless `within` is given; the rest is as of `record`."""
    if _recorder is not None:
        names = {f"filmgate.{key}": value for key, value in job.names.items() if key != "trace_id"}
        record(name, within or job.trace, attributes={**names, **attributes}, **rest)
