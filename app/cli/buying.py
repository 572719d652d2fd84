"""`filmgate status`, `pause` and `resume`: the state of the gateway; stop and resume buying."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.options import OWNER_HELP, Reason
from app.cli.parse import argument, parse_name
from app.cli.tables import Columns, print_json, print_lines, print_view, print_views
from app.domain.counting import counted

LINE = {
    "team": "name",
    "queued": "queued",
    "running": "running",
    "held": "held",
    "weight": "weight",
    "id": "team",
}
ACTIVE = {"active alarm": "kind", "severity": "severity", "since": "at", "message": "message", "job": "job"}
ALARMS = {"past alarm": "kind", "state": "state", "at": "at", "message": "message", "job": "job"}

SomeTeam = Annotated[
    str | None,
    typer.Option(
        "--team",
        parser=argument(parse_name),
        metavar="TEAM",
        help=f"Only this team, by its {OWNER_HELP}; by default all.",
    ),
]


def _print_overview(view: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    print_lines(_lines(view))
    if view["line"]:
        _print_below(view["line"], LINE)
    if view["active_alarms"]:
        _print_below(view["active_alarms"], ACTIVE)
    if view["alarms"]:
        _print_below(view["alarms"], ALARMS)


def _print_below(views: Sequence[View], columns: Columns) -> None:
    typer.echo("")
    print_views(views, columns, as_json=False, spare=("severity", "job"))


def _lines(view: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that are no lists, one line each."""
    slots, breaker, held, aside = view["slots"], view["breaker"], view["held"], view["aside"]
    alerts = view["alerts"]
    sent = "sent" if alerts["sent"] else "not sent anywhere (FILMGATE_ALERT_WEBHOOK)"
    if alerts["failures"]:
        sent = f"the receiver fails since {alerts['failing_since']}: {alerts['error']}"
    state = "open" if breaker["open"] else "half open" if breaker["half_open"] else "closed"
    until = f" until {breaker['until']}" if breaker["until"] else ""
    failures = f"{counted(breaker['failures'], 'failure')} in a row"
    pauses = [f"{pause['name'] or pause['team'] or 'everybody'}: {_paused(pause)}" for pause in view["pauses"]]
    workers = [f"{count} {role}" for role, count in view["workers"].items()]
    if breaker["last_failure"]:
        failures += f"; the last: {breaker['last_failure']}"
    return {
        "buying": _buying(view),
        "slots": f"{slots['used']} of {slots['allowed']} used ({slots['configured']} configured)",
        "breaker": f"{state}{until}, {failures}",
        "paused": pauses or "nobody",
        "workers": workers or "none alive",
        "held": f"{held['count']}, the oldest since {held['oldest_at']}" if held["count"] else "none",
        "set aside": f"{aside['count']}, the oldest since {aside['oldest_at']}" if aside["count"] else "nothing",
        "alarms": f"{len(view['active_alarms'])} active, {sent}",
    }


def _buying(view: Mapping[str, Any]) -> str:
    """Why nothing is bought; a pause of everybody with who paused."""
    why: str | None = view["upstream_paused"]
    own = [pause for pause in view["pauses"] if pause["team"] is None and pause["reason"] == why]
    return _paused(own[0]) if own else why or "goes on"


def _paused(pause: Mapping[str, Any]) -> str:
    """`paused by cli:olga since 2026-11-30T09:00:00.000Z: the reason`."""
    by, at = pause.get("paused_by"), pause.get("paused_at")  # a gateway of an older version says neither
    return f"paused by {by} since {at}: {pause['reason']}" if by and at else str(pause["reason"])


def _print_buying(view: Mapping[str, Any], *, as_json: bool) -> None:
    """The state after the command: another reason may stop buying as well."""
    if as_json:
        print_json(view)
        return
    paused = view["upstream_paused"]
    row = {"team": view["team"] or "everybody", "buying": "goes on" if paused is None else paused["reason"]}
    print_view(row, as_json=False)


@admin_command(_print_overview)
async def status(calls: AdminCalls) -> View:
    """Show slots, breaker, pauses, queue, workers, held jobs and alarms."""
    return await calls.status()


@admin_command(_print_buying)
async def pause(calls: AdminCalls, *, team: SomeTeam = None, reason: Reason) -> View:
    """Stop buying. New jobs wait; jobs that were bought continue."""
    return await calls.pause(team, reason)


@admin_command(_print_buying)
async def resume(calls: AdminCalls, *, team: SomeTeam = None) -> View:
    """Resume buying; without --team this also closes the breaker."""
    return await calls.resume(team)
