"""No request, probe or task costs more because the store has more jobs."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.support.repo import ROOT, parsed, python_files

# Commands whose work grows with all keys of the store, or with the whole of one.
KEYSPACE = {"scan", "scan_iter", "keys", "randomkey"}
ITERATORS = {"hscan", "hscan_iter", "sscan", "sscan_iter", "zscan", "zscan_iter"}
WHOLE = {"hgetall", "hkeys", "hvals", "smembers", "sinter", "sunion", "sort"}
RANGES = {"zrange", "zrevrange", "zrangebyscore", "zrevrangebyscore", "lrange", "xrange", "xrevrange"}
CLIENTS = re.compile(r"(redis|pipe|client|store)$")

MAY_WALK = {
    "app/store/ledger.py expiring_sums scan_iter": "`filmgate ledger verify` compares every sum there is",
    "app/store/ledger.py snapshot xrange": "`filmgate ledger verify`: what came since the pages that it has read",
    "app/store/jobs.py find_by_requests zrange": "an administrator names fal's request id; after a restore",
    "app/store/epoch.py may_be_queued zrange": "after a step back in time every queued job is looked at, once",
}
# Reads of a whole key, and what limits its size.
MAY_READ_WHOLE = {
    "app/store/accounts.py teams smembers": "teams, which administrators make",
    "app/store/accounts.py users smembers": "users of a team, which administrators make",
    "app/store/accounts.py keys_of smembers": "keys of a user, which administrators make",
    "app/store/uploaded_files.py find hgetall": "one file",
    "app/store/uploaded_files.py page hgetall": "one file each, of a page",
    "app/store/reads.py read_hashes hgetall": "each caller says here what it reads",
    "app/store/accounts.py team hgetall": "one account",
    "app/store/accounts.py teams hgetall": "one account each",
    "app/store/accounts.py user hgetall": "one account",
    "app/store/accounts.py users hgetall": "one account each",
    "app/store/accounts.py names hgetall": "two accounts",
    "app/store/accounts.py key hgetall": "one account",
    "app/store/accounts.py keys_of hgetall": "one account each",
    "app/store/alarms.py active hgetall": "alarms that are not over: one of a kind, or a few for each host",
    "app/store/alerts.py active hgetall": "alarms that are not over: one of a kind, or a few for each host",
    "app/store/alerts.py queued lrange": "the oldest ten",
    "app/store/alerts.py receiver hgetall": "one receiver",
    "app/store/hosts.py all hgetall": "API and worker processes of two days",
    "app/store/ledger_check.py faults hgetall": "teams whose sums differ",
    "app/store/buying.py state hgetall": "the breaker, and paused teams",
    "app/store/delivery_log.py get hgetall": "one delivery",
    "app/store/delivery_log.py read hgetall": "one delivery each, of a page",
    "app/store/delivery_log.py ids_of_job lrange": "one job's deliveries",
    "app/store/quarantine.py steps hgetall": "steps in quarantine",
    "app/store/line.py durations lrange": "kept at fifty",
    "app/store/figures.py read hgetall": "steps in quarantine",
    "app/store/figures.py read zrange": "worker processes, and the first of each step",
    "app/store/heartbeats.py workers zrangebyscore": "worker processes, without those that are gone",
    "app/store/endpoints.py of_team hgetall": "a team's endpoints, which have a cap",
    "app/store/events.py _with_records hgetall": "one job each, of a page",
    "app/store/copies.py uncopied_refs zrange": "as many as its caller says",
    "app/store/jobs.py find smembers": "teams, which administrators make",
    "app/store/jobs.py get hgetall": "one job",
    "app/store/jobs.py get_many hgetall": "one job each, of a page",
    "app/store/jobs.py held zrange": "held jobs, which administrators end",
    "app/store/jobs.py record_absence lrange": "kept at a few",
    "app/store/ledger.py owners hgetall": "users, which administrators make",
    "app/store/ledger.py owners smembers": "teams, which administrators make",
    "app/store/ledger.py set_members smembers": "`filmgate ledger verify`: jobs that have not ended",
    "app/store/ledger.py reservations hgetall": "`filmgate ledger verify`: jobs whose money is put aside",
    "app/store/ledger.py snapshot hgetall": "`filmgate ledger verify`: one sum each",
    "app/store/ledger.py snapshot smembers": "`filmgate ledger verify`: jobs that have not ended",
    "app/store/limits.py of hgetall": "one owner's limits",
    "app/store/limits.py of_each hgetall": "one owner's limits each",
    "app/store/line.py shares zrange": "slots, which have a cap, and held jobs, which administrators end",
    "app/store/jobs.py find_by_requests hgetall": "an administrator names fal's request id; after a restore",
    "app/store/jobs.py find_by_requests smembers": "teams, which administrators make",
    "app/store/invitations.py get hgetall": "one invitation",
    "app/store/invitations.py all hgetall": "invitations of 60 days at most, which administrators make",
    "app/store/invitations.py all zrange": "likewise",
    "app/store/shares.py get hgetall": "one share",
    "app/store/shares.py of hgetall": "shares of a job or a team, which have a cap",
    "app/store/shares.py page hgetall": "one page",
    "app/store/sign_on.py person hgetall": "one person: a user in each team, which administrators make",
    "app/store/sessions.py add zrange": "the oldest beyond fifty",
    "app/store/setting_names.py newer_than hgetall": "versions of ours that have started",
    "app/store/storage_mark.py has_files hgetall": "two sums of each team; at the first start with a storage",
    "app/store/uploads.py find hgetall": "one upload",
    "app/store/usage.py _read hgetall": "one day of a team: its users, keys and models",
    "app/store/usage.py counted hgetall": "teams, which administrators make",
    "app/store/data_format.py _repack hgetall": "one job",
    "app/store/data_format.py programs zrangebyscore": "processes that are alive",
    "app/store/data_format.py teams smembers": "teams, which administrators make",
    "app/store/ledger.py teams smembers": "teams, which administrators make",
    "app/store/deliveries.py get hgetall": "one delivery",
    "app/store/admission.py answers_owed hgetall": "equal submissions whose answers were lost, or are on their way",
}
LUA_MAY_READ_WHOLE = {
    "agree_concurrency.lua HGETALL": "one row of a few bytes for each host that is alive",
    "compare_epoch.lua HGETALL": "a hundred ids of earlier epochs; when one begins",
    "count_ends.lua HGETALL": "one count for each bin of ages",
    "erase_job.lua HKEYS": "one job",
    "erase_job.lua LRANGE": "one job's deliveries",
    "check_workers.lua ZRANGEBYSCORE": "worker processes that are alive; once a second for each API",
    "lib/answers.lua HGETALL": "equal submissions whose answers were lost, or are on their way",
    "lib/event.lua HGETALL": "one job",
    "lib/limits.lua HGETALL": "one owner's limits",
    "lib/packing.lua HGETALL": "one job",
    "repack_record.lua HGETALL": "one job",
    "scan_jobs.lua HGETALL": "one job each, of a page",
    "lib/sums.lua HGETALL": "one job",
    "lib/outbox.lua HGETALL": "a team's endpoints, which have a cap",
    "read_for_poll.lua HGETALL": "one job",
    "read_visible.lua HGETALL": "one job",
    "read_installation.lua SMEMBERS": "teams, which administrators make; once for each page of metrics",
    "read_installation.lua ZRANGE": "users with something in line; likewise",
    "read_queue_state.lua ZRANGE": "teams and users with something in line; asked at most twice a second",
    "sweep_slots.lua HKEYS": "steps that were set aside, which people and deadlines end; once a minute",
    "sweep_slots.lua ZRANGE": "slots and running jobs, which have a cap; once a minute",
    "register_part.lua HGETALL": "one upload",
    "find_usage_behind.lua SMEMBERS": "teams, which administrators make; every few seconds",
    "read_credential.lua HGETALL": "one key",
}
LUA_CALL = re.compile(r"redis\.p?call\('(\w+)'([^\n]*)")


@cache
def reads() -> frozenset[tuple[str, str]]:
    """The result of `calls`."""
    return frozenset(calls())


def calls() -> Iterator[tuple[str, str]]:
    """`file function command`, and the class of each unbounded read from the store."""
    for path in python_files():
        if path.parts[0] not in {"app", "workers"}:
            continue
        for function in ast.walk(parsed(path)):
            if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and (found := kind(call)):
                    yield f"{path.as_posix()} {function.name} {found[0]}", found[1]


def kind(call: ast.Call) -> tuple[str, str] | None:
    """The command of an unbounded read and its class; None for every other call."""
    if isinstance(call.func, ast.Name) and call.func.id == "read_hashes":
        return "hgetall", "whole"
    if not isinstance(call.func, ast.Attribute) or not CLIENTS.search(ast.unparse(call.func.value)):
        return None
    command = call.func.attr
    if command in {"execute_command", "call"} and call.args:
        command = ast.unparse(call.args[0]).strip("'\"").lower()
    if command in KEYSPACE | ITERATORS:
        return command, "walk"
    if command in WHOLE:
        return command, "whole"
    named = {word.arg for word in call.keywords}
    bounded = named & {"count", "num"} or [ast.unparse(one) for one in call.args[1:3]] == ["0", "0"]
    return (command, "whole") if command in RANGES and not bounded else None


def test_the_keys_of_the_store_are_walked_by_verification_alone() -> None:
    """SCAN, KEYS and the like are not called by a probe, a request or a worker."""
    assert {where for where, found in reads() if found == "walk"} - MAY_WALK.keys() == set()


def test_what_is_read_whole_has_a_bound_of_its_own() -> None:
    """A hash, set, list or stream is read without a count only where something else keeps it small."""
    found = {where for where, _ in reads()}
    assert found - MAY_WALK.keys() - MAY_READ_WHOLE.keys() == set(), "say what bounds it, or read a page"
    assert (MAY_WALK.keys() | MAY_READ_WHOLE.keys()) - found == set(), "gone: take it off the list"


def test_scripts_read_pages() -> None:
    """The same in Lua, which blocks the store: no walk at all, and a count unless something limits the read."""
    found = set()
    for path in sorted((ROOT / "app/store/lua").rglob("*.lua")):
        for command, rest in LUA_CALL.findall(path.read_text("utf-8")):
            assert command.lower() not in KEYSPACE | ITERATORS, path
            whole = command.lower() in WHOLE or (
                command.lower() in RANGES
                and not re.search(r"'(LIMIT|COUNT)'|, (0, 0|0, 1|0, 99|first, first)\b", rest)
            )
            if whole:
                found.add(f"{path.relative_to(ROOT / 'app/store/lua').as_posix()} {command}")
    assert found == LUA_MAY_READ_WHOLE.keys()
