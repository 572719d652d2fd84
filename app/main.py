"""The API process: `create_app(settings)` opens the gateway for as long as it serves."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.telemetry import TelemetryConfig

from app import __version__, tracing
from app.api import (
    admin,
    admin_invitations,
    admin_limits,
    admin_usage,
    admin_webhooks,
    health,
    metrics,
    operations,
    problem_pages,
    well_known,
)
from app.api.busy_routes import BusyRoutes
from app.api.deps import GATEWAY
from app.api.document import add_documents
from app.api.event_stream import StreamRest
from app.api.fal import hooks, hosts, platform, proxy, queue, run, storage
from app.api.middleware import RequestMiddleware
from app.api.overload import Gate
from app.api.problems import add_problem_handlers
from app.api.proxies import TrustedProxies
from app.api.query import refuse_unknown_parameters
from app.api.refused_pages import RefusedPages
from app.api.reply_headers import AnyPage, HeadIsGet, ReplyHeaders
from app.api.stopping import STOPPING, Stopping
from app.api.v1 import (
    about,
    clips,
    deliveries,
    events,
    files,
    invitations,
    jobs,
    me,
    models,
    session,
    shares,
    sign_on,
    tokens,
    usage,
    webhook_endpoints,
)
from app.domain.fal_targets import Terms
from app.domain.store_role import StoreRole
from app.gateway import open_gateway
from app.settings import Settings, load_settings
from app.tasks import cancel_and_wait, every_second
from app.telemetry import set_up_logs
from app.web import routes as web

# For web pages of other origins: a setting says which; this, what they may send and read. No cookies.
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "Last-Event-ID",
        "Prefer",
        "X-API-Key",
        "X-App-Fal-Disable-Fallback",
        "X-Fal-File-Name",
        "X-Fal-No-Retry",
        "X-Fal-Object-Lifecycle",
        "X-Fal-Object-Lifecycle-Preference",
        "X-Fal-Queue-Priority",
        "X-Fal-Request-Timeout",
        "X-Fal-Retry-Config",
        "X-Fal-Runner-Hint",
        "X-Fal-Store-IO",
        "X-Fal-Tags",
        "X-Fal-Target-URL",
        "X-Filmgate-New",
        "X-Request-ID",
        "traceparent",
    ],
    "expose_headers": [
        "Idempotent-Replayed",
        "Link",
        "Location",
        "Preference-Applied",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "X-Fal-Billable-Units",
        "X-Fal-Error-Type",
        "X-Fal-Request-ID",
        "X-Fal-Request-Timeout-Type",
        "X-Filmgate-Converted-From",
        "X-Filmgate-Warning",
        "X-Request-ID",
    ],
    "allow_credentials": False,
    "max_age": 600,
}
# FastAPI's own tracing is not exported here, so it is switched off.
TRACING_OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}


def create_app(settings: Settings) -> FastAPI:
    """The application; its gateway lives in `app.state.gateway` while the lifespan runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with open_gateway(settings, process="api", role=StoreRole.API, patience=None) as gateway:
            app.state.gateway = gateway
            tracing.start(os.environ, process="api")
            stopping = Stopping()

            async def report() -> None:
                """From the stop signal on nobody misses this process, even if it is killed before all is served."""
                await (gateway.host_report.close() if stopping.draining else gateway.host_report.report())

            checks = (
                report,
                gateway.epoch.confirm,
                gateway.worker_watch.check,
                gateway.alarm_watch.check,
                gateway.alerts.send_due,
                partial(gateway.migrator.note, "api"),
            )
            watches = [asyncio.create_task(every_second(check)) for check in checks]
            try:
                async with gateway.metrics.serving(
                    settings.host, settings.metrics_port, token=settings.metrics_token
                ):
                    yield {STOPPING: stopping, GATEWAY: gateway}
            finally:
                await cancel_and_wait(*watches)
                for closing in (gateway.host_report.close, gateway.alarm_watch.close, gateway.alerts.close):
                    await closing()
                await asyncio.to_thread(tracing.stop)

    app = FastAPI(
        title="Filmgate",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(refuse_unknown_parameters)],
        redirect_slashes=False,  # a redirect would be built from the caller's Host header
        generate_unique_id_function=lambda route: route.name,
        telemetry=TRACING_OFF,
    )
    app.state.base_url = settings.base_url
    app.state.terms = Terms.own(settings.base_url)
    for module in (
        jobs,
        clips,
        models,
        me,
        about,
        session,
        sign_on,
        invitations,
        files,
        tokens,
        webhook_endpoints,
        deliveries,
        admin,
        admin_limits,
        admin_invitations,
        operations,
        usage,
        admin_usage,
        admin_webhooks,
        shares,
        events,
        health,
        metrics,
        problem_pages,
        hooks,
        queue,
        run,
        storage,
        platform,
        proxy,
        well_known,
        web,
    ):
        app.include_router(module.router)
    if settings.docs:
        app.include_router(web.reference)
        add_documents(app, base_url=settings.base_url)
    add_problem_handlers(app)
    app.add_middleware(BusyRoutes, of=app)
    app.add_middleware(HeadIsGet)
    app.add_middleware(RequestMiddleware, base_url=settings.base_url)
    app.add_middleware(Gate, base_url=settings.base_url)
    app.add_middleware(proxy.Proxy, base_url=settings.base_url)
    app.add_middleware(hosts.HostNames, base_url=settings.base_url, fal_hosts=settings.fal_hosts)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
    app.add_middleware(RefusedPages, allowed=settings.cors_origins)
    app.add_middleware(AnyPage)
    app.add_middleware(ReplyHeaders)
    app.add_middleware(StreamRest)
    app.add_middleware(
        TrustedProxies,
        networks=settings.trusted_proxies,
        user=settings.proxy_user_header,
        groups=settings.proxy_groups_header,
    )
    return app


def from_environment() -> FastAPI:
    """The application of an API process, called by uvicorn."""
    settings = load_settings(os.environ, keep_unknown=True)
    set_up_logs(settings.log_format, process="api")
    structlog.get_logger().info("api.start", version=__version__)
    return create_app(settings)
