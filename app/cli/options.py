"""Arguments and options of several commands."""

from typing import Annotated

import typer

from app.cli.parse import SPEC_HELP, argument, parse_id, parse_limit, parse_name, parse_reason
from app.domain.accounts import Reposts, Scope
from app.domain.limits import Limit, require_distinct

MAX_ROWS = 1000


def check_distinct(limits: list[Limit] | None) -> list[Limit] | None:
    """Wrong usage when two limits count the same unit in the same window."""
    try:
        require_distinct(limits or ())
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None
    return limits


ID_HELP = "id, or the beginning of it"
OWNER_HELP = "name or id, which may be cut"
SCOPES_HELP = (
    f"What the key may do: {', '.join(Scope)}. May be repeated; by default {Scope.JOBS_WRITE}, {Scope.JOBS_READ}."
)

_id = argument(parse_id)
_name = argument(parse_name)

JobId = Annotated[str, typer.Argument(parser=_id, metavar="JOB", help=f"The job's {ID_HELP}.")]
JobIds = Annotated[
    list[str],
    typer.Argument(parser=_id, metavar="JOB", help="The jobs' ids, each whole or the beginning of it."),
]
TeamId = Annotated[str, typer.Argument(parser=_name, metavar="TEAM", help=f"The team's {OWNER_HELP}.")]
UserId = Annotated[str, typer.Argument(parser=_name, metavar="USER", help=f"The user's {OWNER_HELP}.")]
KeyId = Annotated[str, typer.Argument(parser=_id, metavar="KEY", help="The key's id (key_…), not the key.")]
OfTeam = Annotated[
    str | None,
    typer.Option("--team", parser=_name, metavar="TEAM", help=f"Of this team only: its {OWNER_HELP}."),
]
OfUser = Annotated[
    str | None,
    typer.Option("--user", parser=_name, metavar="USER", help=f"Of this user only: their {OWNER_HELP}."),
]
Name = Annotated[str, typer.Argument(parser=_name, metavar="NAME", help="Its name, for people.")]
NewName = Annotated[str | None, typer.Option("--name", parser=_name, metavar="NAME", help="The new name.")]
Specs = Annotated[
    list[Limit] | None,
    typer.Option(
        "--limit",
        parser=argument(parse_limit),
        callback=check_distinct,
        metavar="SPEC",
        help=f"{SPEC_HELP} May be repeated.",
    ),
]
Rule = Annotated[
    Reposts | None,
    typer.Option(
        "--reposts",
        help="When an equal submission at fal's routes is a repeat: when the first one's answer may be lost "
        "(answered), also until its id was used (strict), or never.",
    ),
]
Reason = Annotated[
    str,
    typer.Option(
        "--reason", parser=argument(parse_reason), metavar="TEXT", help="Why; kept in the audit log and the ledger."
    ),
]
Rows = Annotated[int, typer.Option("--limit", min=1, max=MAX_ROWS, help="How many, the newest first.")]
GatewayUrl = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The gateway; by default FILMGATE_URL, or that of `filmgate up`."),
]
GatewayKey = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Its key; better in FILMGATE_KEY, which no process list shows."),
]
