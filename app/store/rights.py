"""The rights of Filmgate's users at the store: the least that an ACL must allow (docs/store.md).

One user may have all of them. Or each role has a user of its own with what that role needs:

- the API reaches nothing of RQ, so that a stolen API process cannot give the workers something to run;
- the workers reach no caller's key, session or invitation and no audit line: they can make none, read none and
  change none;
- commands (`filmgate keys`, `status`, `backup`) may also scan the store.
"""

from redis.exceptions import NoPermissionError

from app.domain.store_role import StoreRole
from app.store.client import Client
from app.store.keys import PREFIX

EVERY_KEY = PREFIX + "*"
RQ_KEYS = "rq:*"
# No rule can name what it leaves out: these match all that begins with neither `au` nor `key` nor `to`, and `tot`.
ALL_BUT_CALLERS = ("[^akt]*", "a[^u]*", "k[^e]*", "ke[^y]*", "t[^o]*", "tot*")
NOT_FOR_WORKERS = frozenset(
    {
        *("key:", "keys", "keys:", "token:", "audit", "audit:head"),
        *("auth:sessions:", "auth:code:", "auth:invitation:", "auth:invitations", "auth:share:", "auth:shares:"),
        *("auth:state:", "auth:person:"),
    }
)
KEYS = {
    StoreRole.API: (EVERY_KEY,),
    StoreRole.WORKER: (*(PREFIX + most for most in ALL_BUT_CALLERS), RQ_KEYS),
    StoreRole.ADMIN: (EVERY_KEY,),
    StoreRole.ALL: (EVERY_KEY, RQ_KEYS),
}
KEY = PREFIX + "right"
RQ_KEY = "rq:right"

# Each with arguments that the server accepts; none is ever executed.
COMMANDS: dict[str, tuple[str, ...]] = {
    "blmove": (RQ_KEY, RQ_KEY, "RIGHT", "LEFT", "1"),
    "blpop": (KEY, "1"),
    "client|info": (),
    "client|setname": ("filmgate",),
    "del": (KEY,),
    "eval": ("return 1", "0"),
    "evalsha": ("0" * 40, "0"),
    "exists": (KEY,),
    "expire": (KEY, "1"),
    "get": (KEY,),
    "hdel": (KEY, "f"),
    "hexists": (KEY, "f"),
    "hget": (KEY, "f"),
    "hgetall": (KEY,),
    "hincrby": (KEY, "f", "1"),
    "hincrbyfloat": (KEY, "f", "1"),
    "hkeys": (KEY,),
    "hlen": (KEY,),
    "hmget": (KEY, "f"),
    "hset": (KEY, "f", "v"),
    "hsetnx": (KEY, "f", "v"),
    "incr": (KEY,),
    "info": ("server",),
    "llen": (KEY,),
    "lmove": (RQ_KEY, RQ_KEY, "RIGHT", "LEFT"),
    "lpush": (KEY, "v"),
    "lrange": (KEY, "0", "0"),
    "lrem": (RQ_KEY, "1", "v"),
    "ltrim": (KEY, "0", "0"),
    "mget": (KEY,),
    "persist": (KEY,),
    "pexpire": (KEY, "1"),
    "pexpireat": (KEY, "1"),
    "ping": (),
    "pttl": (KEY,),
    "rpush": (KEY, "v"),
    "sadd": (KEY, "v"),
    "scard": (KEY,),
    "set": (KEY, "v"),
    "smembers": (KEY,),
    "srem": (KEY, "v"),
    "time": (),
    "xadd": (KEY, "*", "f", "v"),
    "xdel": (KEY, "1-1"),
    "xlen": (KEY,),
    "xrange": (KEY, "-", "+"),
    "xread": ("STREAMS", KEY, "0"),
    "xrevrange": (KEY, "+", "-"),
    "xtrim": (KEY, "MAXLEN", "1"),
    "zadd": (KEY, "1", "m"),
    "zcard": (KEY,),
    "zincrby": (KEY, "1", "m"),
    "zintercard": ("1", KEY),
    "zmscore": (KEY, "m"),
    "zrange": (KEY, "0", "0"),
    "zrangebyscore": (KEY, "0", "1"),
    "zrank": (KEY, "m"),
    "zrem": (KEY, "m"),
    "zremrangebyscore": (KEY, "0", "1"),
    "zrevrangebyscore": (KEY, "1", "0"),
    "zscore": (KEY, "m"),
}
# In this order they change nothing, whichever of them are denied.
TRANSACTIONS: dict[str, tuple[str, ...]] = {
    "multi": (),
    "exec": (),
    "discard": (),
    "watch": (KEY,),
    "unwatch": (),
}
DURABILITY = ("config|get",)  # without it a start cannot check the store's durability, and reports that
GREETINGS = ("auth", "hello")  # without these there is no connection
FOR_WORKERS = frozenset({"blmove", "blpop", "lmove", "lrem"})  # RQ's queues, and waiting for something to be due
# Only for `filmgate backup` and `filmgate ledger verify`. The last two show all data: they ask for a snapshot.
FOR_COMMANDS = ("config|set", "scan", "replconf", "sync")


def commands(role: StoreRole) -> set[str]:
    """The commands that this role calls."""
    allowed = {*COMMANDS, *TRANSACTIONS, *DURABILITY, *GREETINGS}
    if role not in {StoreRole.WORKER, StoreRole.ALL}:
        allowed -= FOR_WORKERS
    return allowed | set(FOR_COMMANDS) if role in {StoreRole.ADMIN, StoreRole.ALL} else allowed


def acl(user: str, role: StoreRole = StoreRole.ALL) -> str:
    """The user's line of an ACL file, without the password."""
    return " ".join(
        (
            f"user {user} on",
            *(f"~{key}" for key in KEYS[role]),
            "resetchannels -@all",
            *(f"+{command}" for command in sorted(commands(role))),
        )
    )


async def forbidden(client: Client, role: StoreRole) -> str | None:
    """The first command of this role that the store's user may not call, in capitals, or None.

    Those of transactions first: without them the others would be executed. The others are queued in a transaction
    that is then discarded: the server checks the rights of each and executes none.
    """
    if (denied := await _first_denied(client, [*TRANSACTIONS])) is not None:
        return denied
    checked = [name for name in COMMANDS if name in commands(role)]
    return await _first_denied(client, ["multi", *checked, "discard"])


async def _first_denied(client: Client, names: list[str]) -> str | None:
    pipe = client.pipeline(transaction=False)
    pipe.response_callbacks = {}  # each reply is QUEUED, which redis-py cannot parse
    arguments = TRANSACTIONS | COMMANDS
    for name in names:  # in small letters: redis-py sends a WATCH in capitals at once
        pipe.execute_command(*name.split("|"), *arguments[name])
    answers = await pipe.execute(raise_on_error=False)
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, NoPermissionError) or "NOPERM" in str(answer):  # a denied EXEC answers EXECABORT
            return name.upper().replace("|", " ")
    return None
