"""`filmgate status`, `pause` and `resume`: the state of the gateway; stop and resume buying."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.options import Reason
from app.cli.parse import actor, argument, parse_id
from app.cli.store_command import store_command
from app.cli.tables import print_json, print_table, print_view, print_views
from app.views.operations import BuyingView, OverviewView, buying_view, overview_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

LINE = {
    "team": "team",
    "name": "name",
    "weight": "weight",
    "queued": "queued",
    "running": "running",
    "held": "held",
}
ACTIVE = {"active alarm": "kind", "severity": "severity", "since": "at", "message": "message", "job": "job"}
ALARMS = {"past alarm": "kind", "": "state", "at": "at", "message": "message", "job": "job"}

SomeTeam = Annotated[
    str | None,
    typer.Option("--team", parser=argument(parse_id), metavar="ID", help="Only this team; by default all."),
]


def _print_overview(view: OverviewView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    print_table(["", ""], _lines(view))
    print_views(view["line"], LINE, as_json=False)
    if view["active_alarms"]:
        print_views(view["active_alarms"], ACTIVE, as_json=False)
    if view["alarms"]:
        print_views(view["alarms"], ALARMS, as_json=False)


def _lines(view: OverviewView) -> list[list[Any]]:
    """The parts that are no lists, one line each."""
    slots, breaker, held, aside = view["slots"], view["breaker"], view["held"], view["aside"]
    alerts = view["alerts"]
    sent = "sent" if alerts["sent"] else "not sent anywhere (FILMGATE_ALERT_WEBHOOK)"
    if alerts["failures"]:
        sent = f"the receiver fails since {alerts['failing_since']}: {alerts['error']}"
    state = "open" if breaker["open"] else "half open" if breaker["half_open"] else "closed"
    until = f" until {breaker['until']}" if breaker["until"] else ""
    failures = f"{breaker['failures']} failure{'' if breaker['failures'] == 1 else 's'} in a row"
    pauses = [f"{pause['name'] or pause['team'] or 'everybody'}: {pause['reason']}" for pause in view["pauses"]]
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
        ["alarms", f"{len(view['active_alarms'])} active, {sent}"],
    ]


def _print_buying(view: BuyingView, *, as_json: bool) -> None:
    """The state after the command: another reason may stop buying as well."""
    if as_json:
        print_json(view)
        return
    paused = view["upstream_paused"]
    row = {"team": view["team"] or "everybody", "buying": "goes on" if paused is None else paused["reason"]}
    print_view(row, as_json=False)


@store_command(_print_overview)
async def status(gateway: "Gateway") -> OverviewView:
    """Show slots, breaker, pauses, queue, workers, held jobs and alarms."""
    return overview_view(await gateway.operations.overview())


@store_command(_print_buying)
async def pause(gateway: "Gateway", *, team: SomeTeam = None, reason: Reason) -> BuyingView:
    """Stop buying. New jobs wait; jobs that were bought continue."""
    return buying_view(team, await gateway.operations.pause(actor(), team=team, reason=reason))


@store_command(_print_buying)
async def resume(gateway: "Gateway", *, team: SomeTeam = None) -> BuyingView:
    """Resume buying; without --team this also closes the breaker."""
    return buying_view(team, await gateway.operations.resume(actor(), team=team))
