"""`filmgate status`, `pause` and `resume`: see how everything stands, stop buying, and let it go on."""

from typing import Annotated, Any

import typer

from app.cli.options import Reason
from app.cli.parse import actor, argument, parse_id
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_json, print_table, print_view, print_views
from app.gateway import Gateway
from app.views.operations import BuyingView, OverviewView, buying_view, overview_view

LINE = {
    "team": "team",
    "name": "name",
    "weight": "weight",
    "queued": "queued",
    "running": "running",
    "held": "held",
}
ALARMS = {"alarm": "kind", "at": "at", "message": "message", "job": "job"}

SomeTeam = Annotated[
    str | None,
    typer.Option("--team", parser=argument(parse_id), metavar="ID", help="This team only; without it, everybody."),
]


def status(*, as_json: AsJson = False) -> None:
    """Show slots, breaker, pauses, who waits, workers, held jobs, what is set aside and the newest alarms."""

    async def ask(gateway: Gateway) -> OverviewView:
        return overview_view(await gateway.operations.overview())

    view = with_gateway(ask)
    if as_json:
        print_json(view)
        return
    print_table(["", ""], _lines(view))
    print_views(view["line"], LINE, as_json=False)
    if view["alarms"]:
        print_views(view["alarms"], ALARMS, as_json=False)


def pause(*, team: SomeTeam = None, reason: Reason, as_json: AsJson = False) -> None:
    """Stop buying. Jobs are accepted and wait, and their callers see the reason; what was bought goes on."""

    async def ask(gateway: Gateway) -> BuyingView:
        told = await gateway.operations.pause(actor(), team=team, reason=reason)
        return buying_view(team, told)

    _print(with_gateway(ask), as_json=as_json)


def resume(*, team: SomeTeam = None, as_json: AsJson = False) -> None:
    """Let buying go on; for everybody, the breaker closes too."""

    async def ask(gateway: Gateway) -> BuyingView:
        told = await gateway.operations.resume(actor(), team=team)
        return buying_view(team, told)

    _print(with_gateway(ask), as_json=as_json)


def _print(view: BuyingView, *, as_json: bool) -> None:
    """What is so now: somebody else may have stopped it as well."""
    if as_json:
        print_json(view)
        return
    paused = view["upstream_paused"]
    told = {"team": view["team"] or "everybody", "buying": "goes on" if paused is None else paused["reason"]}
    print_view(told, as_json=False)


def _lines(view: OverviewView) -> list[list[Any]]:
    """The parts that are no lists, a line each."""
    slots, breaker, held, aside = view["slots"], view["breaker"], view["held"], view["aside"]
    state = "open" if breaker["open"] else "half open" if breaker["half_open"] else "closed"
    until = f" until {breaker['until']}" if breaker["until"] else ""
    failures = f"{breaker['failures']} failure{'' if breaker['failures'] == 1 else 's'} in a row"
    pauses = [f"{one['name'] or one['team'] or 'everybody'}: {one['reason']}" for one in view["pauses"]]
    workers = [f"{count} {role}" for role, count in view["workers"].items()]
    if breaker["last_failure"]:
        failures += f"; the last: {breaker['last_failure']}"
    return [
        ["buying", view["upstream_paused"] or "goes on"],
        ["slots", f"{slots['used']} of {slots['allowed']} used ({slots['configured']} configured)"],
        ["breaker", f"{state}{until}, {failures}"],
        ["paused", pauses or "nobody"],
        ["workers", workers or "none alive"],
        ["held", f"{held['count']}, the oldest since {held['oldest_at']}" if held["count"] else "none"],
        ["set aside", f"{aside['count']}, the oldest since {aside['oldest_at']}" if aside["count"] else "nothing"],
    ]
