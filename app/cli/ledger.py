"""`filmgate ledger`: the books, credits and corrections."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.options import Reason, Rows, TeamId
from app.cli.parse import actor, argument, parse_credit, parse_id, parse_signed_usd
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_json, print_view, print_views
from app.domain.accounts import NO_TEAM
from app.domain.errors import NotFound
from app.domain.ledger import Correction
from app.domain.money import format_usd, parse_usd
from app.domain.verification import VerificationReport
from app.gateway import Gateway
from app.views.ledger import EntryView, entry_view

COLUMNS = {
    "entry": "id",
    "type": "type",
    "dollars": "amount_usd",
    "job": "job",
    "user": "user",
    "reason": "reason",
    "at": "at",
}
DIFFERENCES = {"key": "key", "field": "field", "stored": "stored", "entries say": "rebuilt"}
UNCHANGED = {
    Correction.GONE: "its record has expired",
    Correction.OPEN: "it has not ended",
}

group = typer.Typer(no_args_is_help=True)


@group.command("list")
def list_entries(
    *,
    team: Annotated[str, typer.Option(parser=argument(parse_id), metavar="ID", help="Whose books.")],
    limit: Rows = 50,
    as_json: AsJson = False,
) -> None:
    """List the movements of a team's money, the newest first."""

    async def ask(gateway: Gateway) -> list[EntryView]:
        if await gateway.accounts.team(team) is None:
            raise NotFound(NO_TEAM)
        return [entry_view(entry) for entry in await gateway.ledger.page(team, before=None, count=limit)]

    print_views(with_gateway(ask), COLUMNS, as_json=as_json)


@group.command("credit")
def credit(
    team: TeamId,
    amount: Annotated[
        int, typer.Argument(parser=argument(parse_credit), metavar="AMOUNT", help="US dollars, such as 25.00.")
    ],
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Let a team spend so much more: in total, and in the periods of today."""

    async def ask(gateway: Gateway) -> dict[str, Any]:
        await gateway.ledger.credit(actor(), team, micro=amount, reason=reason)
        return {"team": team, "type": "credit", "amount_usd": format_usd(amount), "reason": reason}

    print_view(with_gateway(ask), as_json=as_json)


@group.command("correct", context_settings={"ignore_unknown_options": True})  # -2.50 is an amount, not an option
def correct(
    team: TeamId,
    amount: Annotated[
        str,
        typer.Argument(metavar="AMOUNT", help="US dollars spent more, or less: -2.50. With --job: what it cost."),
    ],
    *,
    job: Annotated[
        str | None,
        typer.Option(parser=argument(parse_id), metavar="JOB", help="An ended job with another cost."),
    ] = None,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Count so much more, or less, as spent by a team; or make a job's charge what it really cost."""
    micro = argument(parse_signed_usd if job is None else parse_usd)(amount)

    async def ask(gateway: Gateway) -> dict[str, Any]:
        shown = {"team": team, "type": "correction", "amount_usd": format_usd(micro), "reason": reason}
        if job is None:
            await gateway.ledger.correct(actor(), team, micro=micro, reason=reason)
            return shown
        outcome = await gateway.ledger.correct_job(actor(), team, job, actual=micro, reason=reason)
        if outcome in UNCHANGED:
            raise Failure(f"The job's charge was not changed: {UNCHANGED[outcome]}.")
        return {**shown, "job": job, "outcome": outcome.value}

    print_view(with_gateway(ask), as_json=as_json)


@group.command("verify")
def verify(*, as_json: AsJson = False) -> None:
    """Rebuild every counter from the entries: exit 1 when the store holds something else."""

    async def ask(gateway: Gateway) -> VerificationReport:
        return await gateway.ledger.verify()

    found = with_gateway(ask)
    differences = [asdict(difference) for difference in found.differences]
    if as_json:
        print_json({"teams": found.teams, "entries": found.entries, "differences": differences})
    else:
        typer.echo(f"teams: {found.teams}, entries: {found.entries}, differences: {len(differences)}")
    if differences and not as_json:
        print_views(differences, DIFFERENCES, as_json=False)
    if differences:
        raise Failure(f"The books do not balance: {len(differences)} differences between store and entries.")
