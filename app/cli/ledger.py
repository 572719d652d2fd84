"""`filmgate ledger`: entries, credits, corrections and verification."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.admin_calls import AdminCalls
from app.cli.admin_command import admin_command
from app.cli.exits import Failure
from app.cli.options import OWNER_HELP, Reason, Rows, TeamId
from app.cli.parse import argument, parse_credit, parse_id, parse_name, parse_signed_usd
from app.cli.store_command import store_command
from app.cli.tables import Named, print_json, print_view, print_views
from app.domain.counting import counted
from app.domain.ledger import Correction
from app.domain.money import format_usd, parse_usd
from app.domain.verification import VerificationReport

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

COLUMNS = {
    "at": "at",
    "type": "type",
    "dollars": "amount_usd",
    "user": "user.name",
    "job": "job",
    "reason": "reason",
    "entry": "id",
}
DIFFERENCES = {"key": "key", "field": "field", "stored": "stored", "entries say": "rebuilt"}
UNCHANGED = {
    Correction.GONE: "its record has expired",
    Correction.OPEN: "it has not ended",
}

group = typer.Typer(no_args_is_help=True)


Ledger = Annotated[
    str,
    typer.Option(
        "--team", parser=argument(parse_name), metavar="TEAM", help=f"Whose ledger: the team's {OWNER_HELP}."
    ),
]
Credit = Annotated[
    int, typer.Argument(parser=argument(parse_credit), metavar="AMOUNT", help="US dollars, such as 25.00.")
]
Amount = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="US dollars spent more, or less: -2.50. With --job: its real cost.")
]
EndedJob = Annotated[
    str | None,
    typer.Option("--job", parser=argument(parse_id), metavar="JOB", help="An ended job with another cost."),
]


@group.command("list")
@admin_command(partial(print_views, columns=COLUMNS, spare=("entry",)))
async def list_entries(calls: AdminCalls, *, team: Ledger, limit: Rows = 50) -> Named:
    """List the movements of a team's money, the newest first."""
    entries = await calls.entries(team, limit)
    return Named(entries, {one["id"]: one["name"] for one in await calls.users()})


@group.command("credit")
@admin_command(print_view)
async def credit(calls: AdminCalls, team: TeamId, amount: Credit, *, reason: Reason) -> dict[str, Any]:
    """Let a team spend more, in total and in today's periods."""
    await calls.credit(team, amount, reason)
    return {"team": team, "type": "credit", "amount_usd": format_usd(amount), "reason": reason}


def _micro(amount: str, job: str | None, **_: object) -> int:
    """Micro-dollars of a correction; only those of a team may be negative."""
    return argument(parse_signed_usd if job is None else parse_usd)(amount)


def _check_amount(**arguments: Any) -> None:
    _micro(**arguments)


@group.command("correct", context_settings={"ignore_unknown_options": True})  # -2.50 is an amount, not an option
@admin_command(print_view, check=_check_amount)
async def correct(
    calls: AdminCalls, team: TeamId, amount: Amount, *, job: EndedJob = None, reason: Reason
) -> dict[str, Any]:
    """Correct what a team has spent by an amount, or a job's charge to its real cost.

    Example: `filmgate ledger correct team_5f0c1a2b -2.50 --reason 'fal refunded it'`
    """
    micro = _micro(amount, job)
    view = {"team": team, "type": "correction", "amount_usd": format_usd(micro), "reason": reason}
    if job is None:
        await calls.correct(team, micro, reason)
        return view
    outcome = await calls.correct_job(team, job, micro, reason)
    if outcome in set(UNCHANGED):
        raise Failure(f"The job's charge was not changed: {UNCHANGED[Correction(outcome)]}.")
    return {**view, "job": job, "outcome": outcome}


def _print_differences(verified: VerificationReport, *, as_json: bool) -> None:
    differences = [asdict(difference) for difference in verified.differences]
    if as_json:
        print_json({"teams": verified.teams, "entries": verified.entries, "differences": differences})
    else:
        typer.echo(f"teams: {verified.teams}, entries: {verified.entries}, differences: {len(differences)}")
    if differences and not as_json:
        print_views(differences, DIFFERENCES, as_json=False)
    if differences:
        raise Failure(
            f"The books do not balance: {counted(len(differences), 'difference')} between store and entries."
        )


@group.command("verify")
@store_command(_print_differences)
async def verify(gateway: "Gateway") -> VerificationReport:
    """Rebuild every counter from the entries: exit 1 when the store differs."""
    return await gateway.ledger.verify()
