"""`filmgate webhooks`: forward events to this machine; list endpoints and deliveries, and replay, by HTTP."""

import base64
import os
from typing import Annotated, Any

import httpx
import typer

from app.cli.admin_calls import given_only
from app.cli.generate.access import Access, find_access
from app.cli.generate.client import ApiClient
from app.cli.listen import Forwarder, forget_location, forward_events
from app.cli.options import GatewayKey, GatewayUrl
from app.cli.parse import argument, parse_event_types, parse_id
from app.cli.remote import notice, run_calls, with_client
from app.cli.tables import AsJson, print_json, print_view, print_views
from app.cli.webhook_endpoints import group as endpoints_group
from app.domain.deliveries import DeliveryStatus
from app.domain.endpoints import DEFAULT_EVENTS
from app.domain.prompts import beginning_of
from app.webhooks.signing import new_secret

SECRET_PREFIX = "whsec_"  # noqa: S105  a prefix, not a secret
SECRET_BYTES = range(24, 65)  # as the specification asks
DELIVERY = {
    "status": "status",
    "event": "event",
    "answer": "last",
    "attempts": "count",
    "next": "next_attempt_at",
    "delivery": "id",
    "job": "job",
    "endpoint": "endpoint",
    "prompt": "prompt",
}
DELIVERY_SPARE = ("attempts", "prompt", "job", "endpoint")
PROMPT_IN_TABLE = 32  # characters; the ids stand beside it

EventTypes = Annotated[
    list[str] | None, typer.Option("--events", metavar="TYPE,…", help="Event types; may be repeated.")
]
OfEndpoint = Annotated[
    str | None, typer.Option("--endpoint", parser=argument(parse_id), metavar="ID", help="To this endpoint only.")
]
Status = Annotated[DeliveryStatus | None, typer.Option(help="In this state only.")]
Since = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Written then or later: 2026-11-01T12:00:00Z.")
]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Written before this time.")]

group = typer.Typer(no_args_is_help=True)
group.add_typer(endpoints_group, name="endpoints")


@group.command("listen")
def listen(
    *,
    forward: Annotated[str, typer.Option(metavar="URL", help="Where they go, such as http://localhost:3000/hook.")],
    events: EventTypes = None,
    secret: Annotated[
        str | None, typer.Option(metavar="SECRET", help="The signing secret, whsec_…; by default a new one.")
    ] = None,
    url: GatewayUrl = None,
    key: GatewayKey = None,
) -> None:
    """Forward events to this machine as signed webhooks, until Ctrl-C.

    With `team:read` these are the team's events, otherwise those of the key's user.

    Example: `filmgate webhooks listen --forward http://localhost:3000/hook`
    """
    wanted = frozenset(parse_event_types(events) or DEFAULT_EVENTS)
    target = _target(forward)
    signs = new_secret() if secret is None else _secret(secret)
    access = find_access(url, key, os.environ)

    def ready() -> None:
        if secret is None:
            typer.echo(f"Signed with {signs} (for this run; --secret keeps one).")
        typer.echo(f"Forwarding {', '.join(sorted(wanted))} from {access.url} to {target}; Ctrl-C ends.")

    async def run() -> None:
        async with (
            ApiClient(access, lambda _: None) as client,
            httpx.AsyncClient(
                trust_env=False,
                timeout=None,  # noqa: S113  each forward has its own limit
                event_hooks={"response": [forget_location]},
            ) as web,
        ):
            forwarder = Forwarder(web, target, signs)
            await forward_events(client, forwarder, wanted, typer.echo, notice, ready)

    try:
        run_calls(run())
    except KeyboardInterrupt:
        typer.echo("", err=True)


@group.command("deliveries")
def deliveries(
    *,
    endpoint: OfEndpoint = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="The newest so many.")] = 20,
    as_json: AsJson = False,
    url: GatewayUrl = None,
    key: GatewayKey = None,
) -> None:
    """List webhook deliveries; --json shows every attempt."""
    path = "/v1/deliveries" if endpoint is None else f"/v1/webhook-endpoints/{endpoint}/deliveries"
    query = given_only({"status": status, "from": since, "to": until, "limit": limit})
    found = _ask(find_access(url, key, os.environ), "GET", path, params=query)["data"]
    if as_json:
        print_json(found)
    else:
        print_views([_shown(delivery) for delivery in found], DELIVERY, as_json=False, spare=DELIVERY_SPARE)


@group.command("replay")
def replay(  # noqa: PLR0913  one parameter for each option
    delivery: Annotated[
        str | None, typer.Argument(parser=argument(parse_id), metavar="DELIVERY", help="One delivery's id.")
    ] = None,
    *,
    endpoint: OfEndpoint = None,
    status: Status = None,
    events: EventTypes = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1000, help="At most so many.")] = None,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Continue at the cursor of an earlier reply.")
    ] = None,
    as_json: AsJson = False,
    url: GatewayUrl = None,
    key: GatewayKey = None,
) -> None:
    """Send one delivery again, or all dead ones, or those of a filter."""
    body = given_only(
        {"endpoint": endpoint, "status": status, "events": parse_event_types(events), "from": since, "to": until}
    )
    body |= given_only({"limit": limit, "cursor": cursor})
    if delivery is not None and body:
        raise typer.BadParameter(f"A delivery's id and --{next(iter(body))} do not go together.")
    access = find_access(url, key, os.environ)
    if delivery is not None:
        shown = _ask(access, "POST", f"/v1/deliveries/{delivery}/replay")
        print_json(shown) if as_json else print_views(
            [_shown(shown)], DELIVERY, as_json=False, spare=DELIVERY_SPARE
        )
        return
    print_view(_ask(access, "POST", "/v1/deliveries/replay", json=body), as_json=as_json)


def _ask(access: Access, method: str, path: str, **send: Any) -> dict[str, Any]:
    """The gateway's reply; Failure in a sentence."""
    return with_client(access, lambda client: client.ask(method, path, lambda: send))


def _shown(view: dict[str, Any]) -> dict[str, Any]:
    """A delivery with its last answer, and as much of its job's prompt as a table has room for."""
    attempts = view["attempts"]
    last = attempts[-1]["status"] or attempts[-1]["error"] if attempts else None
    prompt = view.get("prompt")  # none from an older gateway
    return {
        **view,
        "count": len(attempts),
        "last": last,
        "prompt": prompt and beginning_of(prompt, PROMPT_IN_TABLE),
    }


def _target(text: str) -> str:
    """The URL that events go to; wrong usage for an invalid one."""
    try:
        found = httpx.URL(text)
    except httpx.InvalidURL:
        found = httpx.URL()
    if found.scheme not in {"http", "https"} or not found.host:
        raise typer.BadParameter("--forward is an address such as http://localhost:3000/hook.")
    return str(found)


def _secret(text: str) -> str:
    """The secret; wrong usage for an invalid one."""
    try:
        raw = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raw = b""
    if not text.startswith(SECRET_PREFIX) or len(raw) not in SECRET_BYTES:
        raise typer.BadParameter("--secret is whsec_ and 24 to 64 bytes in base64.")
    return text
