"""`filmgate webhooks endpoints`: list, create, test, rotate, pause, resume and delete them, by HTTP."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any

import typer

from app.cli.cells import ID
from app.cli.exits import Failure
from app.cli.generate.access import find_access
from app.cli.generate.client import ApiClient
from app.cli.options import GatewayKey, GatewayUrl
from app.cli.parse import argument, duration, parse_event_types, parse_id
from app.cli.remote import with_client
from app.cli.tables import AsJson, Columns, print_json, print_view, print_views
from app.cli.whole_ids import only_id
from app.domain.deliveries import ATTEMPT_TIMEOUT_S
from app.domain.endpoints import MAX_OVERLAP_S

ROUTE = "/v1/webhook-endpoints"
COLUMNS: Columns = {
    "status": "status",
    "url": "url",
    "endpoint": "id",
    "failures": "failures_in_a_row",
    "events": "events",
    "models": "models",
}
SPARE = ("events", "models")
LEAST_BEGINNING = len("ep_") + 4  # of an id that is not given whole
TEST_WAIT_S = ATTEMPT_TIMEOUT_S + 10  # until its first attempt is recorded, also of one that hangs
POLL_S = 0.3

group = typer.Typer()

EndpointId = Annotated[
    str, typer.Argument(parser=argument(parse_id), metavar="ENDPOINT", help="Its id, or the beginning of it.")
]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--events",
        metavar="TYPE,…",
        help="Only these event types; held, succeeded, failed and canceled by default. May be repeated.",
    ),
]
Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="MODEL", help="Only jobs of this model. May be repeated.")
]
Description = Annotated[str, typer.Option(metavar="TEXT", help="What it is for.")]
Overlap = Annotated[
    int | None,
    typer.Option(
        parser=argument(duration(0, MAX_OVERLAP_S)),
        metavar="TIME",
        help="How long the old secret also signs: 0, 12h; 24h by default.",
    ),
]


@group.callback(invoke_without_command=True)
def endpoints(
    context: typer.Context, *, as_json: AsJson = False, url: GatewayUrl = None, key: GatewayKey = None
) -> None:
    """Show the team's endpoints; create, test, rotate, pause, resume or delete one.

    The key needs `team:read` to show them, else `team:admin`: `filmgate keys create NAME --scope team:admin`.
    """
    if context.invoked_subcommand is None:
        list_endpoints(as_json=as_json, url=url, key=key)


@group.command("list")
def list_endpoints(*, as_json: AsJson = False, url: GatewayUrl = None, key: GatewayKey = None) -> None:
    """List the team's webhook endpoints, the oldest first."""
    found = _call(url, key, lambda client: client.ask("GET", ROUTE))["data"]
    print_views(found, COLUMNS, as_json=as_json, spare=SPARE)


@group.command("create")
def create(
    address: Annotated[str, typer.Argument(metavar="URL", help="An https address on the public internet.")],
    *,
    events: Events = None,
    models: Models = None,
    description: Description = "",
    as_json: AsJson = False,
    url: GatewayUrl = None,
    key: GatewayKey = None,
) -> None:
    """Add an endpoint; its secret is shown this once.

    Example: `filmgate webhooks endpoints create https://app.example.com/hooks`
    """
    body: dict[str, Any] = {"url": address, "description": description}
    body |= {name: value for name, value in (("events", parse_event_types(events)), ("models", models)) if value}
    made = _call(url, key, lambda client: client.ask("POST", ROUTE, lambda: {"json": body}))
    _print_secret(made, as_json=as_json)


@group.command("test")
def send_test(
    endpoint: EndpointId, *, as_json: AsJson = False, url: GatewayUrl = None, key: GatewayKey = None
) -> None:
    """Send `endpoint.test` and show the answer; exit 1 when it is not taken."""

    async def send(client: ApiClient) -> dict[str, Any]:
        sent = await client.ask("POST", f"{ROUTE}/{await _whole(client, endpoint)}/test")
        until = time.monotonic() + TEST_WAIT_S
        while True:
            delivery = await client.ask("GET", f"/v1/deliveries/{sent['delivery']}")
            if delivery["attempts"] or time.monotonic() > until:
                return delivery
            await asyncio.sleep(POLL_S)

    delivery = _call(url, key, send)
    attempts = delivery["attempts"]
    if as_json:
        print_json(delivery)
    elif attempts:
        shown = {"delivery": delivery["id"], "state": delivery["status"]}
        print_view({**shown, "answer": attempts[-1]["status"], "ms": attempts[-1]["duration_ms"]}, as_json=False)
    if not attempts:
        raise Failure(
            "The test was not answered yet: it hangs, others wait before it, or no worker sends deliveries; "
            "`filmgate webhooks deliveries` and `filmgate status` show it."
        )
    if delivery["status"] != "delivered":
        last = attempts[-1]
        why = f"it answered {last['status']}" if last["status"] else last["answer"] or last["error"]
        raise Failure(f"The endpoint did not take the test: {why.removesuffix('.')}.")


@group.command("rotate")
def rotate(
    endpoint: EndpointId,
    *,
    overlap: Overlap = None,
    as_json: AsJson = False,
    url: GatewayUrl = None,
    key: GatewayKey = None,
) -> None:
    """Make a new secret, shown this once; the old one also signs during the overlap."""
    body = {} if overlap is None else {"overlap_seconds": overlap}

    async def act(client: ApiClient) -> dict[str, Any]:
        path = f"{ROUTE}/{await _whole(client, endpoint)}/rotate-secret"
        return await client.ask("POST", path, lambda: {"json": body})

    _print_secret(_call(url, key, act), as_json=as_json)


@group.command("pause")
def pause(endpoint: EndpointId, *, as_json: AsJson = False, url: GatewayUrl = None, key: GatewayKey = None) -> None:
    """Send it nothing for now; its deliveries wait."""
    _set_paused(endpoint, paused=True, as_json=as_json, url=url, key=key)


@group.command("resume")
def resume(
    endpoint: EndpointId, *, as_json: AsJson = False, url: GatewayUrl = None, key: GatewayKey = None
) -> None:
    """Send again, also to an endpoint that was disabled."""
    _set_paused(endpoint, paused=False, as_json=as_json, url=url, key=key)


@group.command("delete")
def delete(
    endpoint: EndpointId, *, as_json: AsJson = False, url: GatewayUrl = None, key: GatewayKey = None
) -> None:
    """Delete it; its waiting deliveries are not sent."""

    async def act(client: ApiClient) -> str:
        found = await _whole(client, endpoint)
        await client.text("DELETE", f"{ROUTE}/{found}")
        return found

    print_view({"id": _call(url, key, act), "deleted": True}, as_json=as_json)


def _set_paused(endpoint: str, *, paused: bool, as_json: bool, url: str | None, key: str | None) -> None:
    async def act(client: ApiClient) -> dict[str, Any]:
        path = f"{ROUTE}/{await _whole(client, endpoint)}"
        return await client.ask("PATCH", path, lambda: {"json": {"paused": paused}})

    print_views([_call(url, key, act)], COLUMNS, as_json=as_json, spare=SPARE)


def _call(url: str | None, key: str | None, act: Callable[[ApiClient], Coroutine[Any, Any, Any]]) -> Any:
    return with_client(find_access(url, key, os.environ), act)


async def _whole(client: ApiClient, text: str) -> str:
    """The whole id, also of its beginning; Failure for that of several."""
    if ID.fullmatch(text) or len(text) < LEAST_BEGINNING:
        return text
    return only_id(text, (await client.ask("GET", ROUTE))["data"])


def _print_secret(view: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    names = ("id", "url", "events", "models", "status", "secret")
    print_view({name: view[name] for name in names}, as_json=False)
    typer.echo("The secret is shown this once; the receiver verifies signatures with it.", err=True)
