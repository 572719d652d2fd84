"""What the command refuses: one sentence, an exit code that says whose fault it is, and an unchanged store."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from redis import Redis

from app.domain.limits import Limit, Unit, Window
from app.gateway import open_gateway
from app.settings import load_settings
from tests.support.accounts import new_account
from tests.support.command import On, command_on
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.timeout(200)

SPECS = "such as usd/day=50.00, jobs/concurrent=4 or submits/minute=30."
OTHER = "team_" + "0" * 32


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> On:
    """A function that runs the command on a store, as the operator `olga`."""
    return partial(command_on, monkeypatch, capsys)


def _values(server: RedisServer) -> dict[bytes, bytes]:
    """Everything in the store."""
    with Redis.from_url(server.url) as redis:
        return {name: redis.dump(name) for name in redis.scan_iter(count=1000)}


@dataclass(frozen=True, slots=True)
class Known:
    """A store with two teams, a user, a key and limits, and the ids for the placeholders in the commands below."""

    server: RedisServer
    ids: dict[str, str]


async def _account(server: RedisServer) -> dict[str, str]:
    async with open_gateway(load_settings({"FILMGATE_REDIS_URL": server.url}), process="test") as gateway:
        administration = gateway.administration
        ada = await new_account(administration, team_name="one", user_name="ada")
        two = await administration.add_team("test", name="two")
        old = await administration.add_key("test", user=ada.user.id)
        new = await administration.add_key("test", user=ada.user.id)
        await administration.revoke_key("test", old.record.id)
        await gateway.limits.replace("test", "gateway", [Limit(Unit.USD, Window.DAY, 5_000_000)])
        ids = {"KEY": new.record.id, "OLD": old.record.id}
        return {"TEAM": ada.team.id, "TWO": two.id, "USER": ada.user.id, "GONE": OTHER, **ids}


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    """One store for all refusals, because a refusal changes nothing."""
    with RedisServer() as server:
        yield Known(server, asyncio.run(_account(server)))


USAGE = [
    ("teams create", "Missing argument 'NAME'."),
    ("teams create \x1b[2J", "A name is 1 to 100 printable characters on one line."),
    ("teams create \udcff", "A name is 1 to 100 printable characters on one line."),
    ("teams create a --weight 0", "greater than or equal to 1."),
    ("teams create a --weight many", "'--weight'"),
    ("teams create a --time-zone Mars/Base", "There is no time zone of this name"),
    ("teams create a --limit usd/fortnight=5", SPECS),
    ("teams create a --limit usd/day=5 --limit usd/day=6", "two limits on usd with the window day"),
    (
        "teams update TEAM",
        "give --name, --weight, --time-zone, --reposts, --retention-days or --storage-bytes.",
    ),
    ("teams update TEAM --retention-days 7", "this is a whole number from 8 to 3650, or gateway"),
    ("teams update TEAM --storage-bytes -1", "this is a whole number from 0 to 1000000000000000, or unlimited"),
    ("teams update TEAM --name", "--name"),
    ("keys show ../x", "'../x' is no id, such as key_5f0c…: lists show them, as `filmgate keys list`."),
    ("teams delete TWO", "nobody can be asked here: say --yes."),
    ("teams paint", "No such command 'paint'. `filmgate teams --help` lists them."),
    ("team list", "No such command 'team'. Did you mean 'teams'?"),
    ("jobs resolve job_0 admin", "'ACTION': 'admin' is not one of 'adopt', 'resubmit', 'fail'."),
    ("jobs resolve job_0", "Missing argument 'ACTION'. Choose from: adopt, resubmit, fail."),
    ("users create a --limit usd/month", "'usd/month' is no limit: the amount is missing;"),
    ("users update USER", "Missing option '--name'."),
    ("users create a --limit jobs/day=1.5", "the amount is a whole number"),
    ("keys create a --scope jobs:paint", "'jobs:paint' is not one of"),
    ("keys create a --origin https://a/path", "must be an origin such as https://app.example.com"),
    ("keys create a --origin *", "must be an origin"),
    ("keys create a --expires-in 0", "is no duration between 1s and 3653d"),
    ("keys create a --expires-in -5", "is no duration"),
    ("keys list --team TEAM --user USER", "give one of them."),
    ("keys rotate KEY --overlap 8d", "is no duration between 0 and 7d"),
    ("limits set TEAM", "name the limits, or say --none and no limit."),
    ("limits set TEAM usd/day=5 --none", "name the limits, or say --none and no limit."),
    ("limits set TEAM usd/day=-5", SPECS),
    ("limits set TEAM jobs/day=9999999999", "an amount of jobs is between 0 and 1000000000"),
    ("limits set TEAM usd/day=9000000001", "between 0 and 9 billion dollars"),
    ("limits set TEAM submits/day=5", "the window day counts jobs, usd, video_seconds, not submits"),
    ("limits raise gateway usd/day=9", "Missing option '--for'."),
    ("limits raise gateway usd/day=9 --for 5", "is no duration between 1m and 366d"),
    ("ledger credit TEAM 5", "Missing option '--reason'."),
    ("ledger credit TEAM 0 --reason a", "An amount of nothing changes nothing."),
    ("ledger credit TEAM 1e3 --reason a", "An amount is between"),
    ("ledger credit TEAM 5 --reason \n", "A reason is 1 to 500 printable characters on one line."),
    ("ledger correct TEAM --5 --reason a", "An amount is between"),
    ("ledger correct TEAM -5 --job JOB --reason a", "An amount is between"),
    ("ledger list --team TEAM --limit 0", "'--limit'"),
    ("usage --csv --json", "they cannot go together."),
    ("usage --from yesterday", "'yesterday' is no day or time, such as 2026-11-01 or 2026-11-01T12:00:00Z."),
    ("usage --group-by colour", "'colour' is not one of"),
]

FAILURES = [
    ("teams show ../x", "No team is called ../x: `filmgate teams list` shows names and ids."),
    ("teams show GONE", "There is no team with this id."),
    ("teams update GONE --name a", "There is no team with this id."),
    ("teams delete GONE --yes", "There is no team with this id."),
    ("users create a", "There are several teams: say --team with one of one (TEAM), two (TWO)."),
    ("users create a --team GONE", "There is no team with this id."),
    ("users list --team GONE", "There is no team with this id."),
    ("users delete user_0", "There is no user with this id."),
    ("users update user_0 --name a", "There is no user with this id."),
    ("keys create a --user user_0", "There is no user with this id."),
    ("keys create a --model fal-ai/other", "There is no such model; GET /v1/models lists them."),
    ("keys show key_0", "There is no key with this id."),
    ("keys revoke key_0", "There is no key with this id."),
    ("keys rotate OLD", "The key opens nothing any more; make a new one."),
    ("limits show user_0", "There is no user with this id."),
    ("limits set GONE usd/day=5", "There is no team with this id."),
    ("limits raise gateway usd/day=4 --for 1h", "A raise must be above the limit of 5.00."),
    ("limits raise TEAM usd/day=4 --for 1h", "There is no limit on usd with the window day to be raised."),
    ("ledger list --team GONE", "There is no team with this id."),
    ("ledger credit GONE 5 --reason a", "There is no team with this id."),
    ("ledger correct TEAM -5 --reason a", "Less than nothing would be spent; name the job that is corrected."),
    (
        "ledger correct TEAM 5 --job job_0 --reason a",
        "There is no job with this id in this team, or its record has expired.",
    ),
    ("usage --team GONE", "There is no team with this id."),
    ("usage --from 2026-11-02 --to 2026-11-01", "The time in `from` must be before the one in `to`."),
]


def _put(ids: dict[str, str], text: str) -> str:
    for word, value in ids.items():
        text = text.replace(word, value)
    return text


@pytest.mark.parametrize(("words", "says"), USAGE)
def test_wrong_usage_is_one_sentence_and_changes_nothing(known: Known, command: On, words: str, says: str) -> None:
    """Exit 2, what is wrong, and an unchanged store."""
    before = _values(known.server)
    ended = command(known.server)(*(_put(known.ids, word) for word in words.split(" ")))
    assert says in ended.refused(2)
    assert _values(known.server) == before


@pytest.mark.parametrize(("words", "says"), FAILURES)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    known: Known, command: On, words: str, says: str
) -> None:
    """Exit 1, why, and an unchanged store."""
    before = _values(known.server)
    ended = command(known.server)(*(_put(known.ids, word) for word in words.split(" ")))
    assert ended.refused(1) == _put(known.ids, says)
    assert _values(known.server) == before
