"""Row "peers": submissions accepted in one second by one process, compared with LiteLLM and fal's server proxy.

`./dev bench --peers` installs both in environments of their own (`.bootstrap/litellm`, `.bootstrap/server-proxy`).
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Options, at_least_times_the_peer, spread_of
from benchmarks.flood import Flood, Stream, flood
from benchmarks.gateway import MODEL, http_request, serving
from benchmarks.load import bodies
from benchmarks.processes import (
    ROOT,
    NotMeasured,
    cores,
    environment,
    free_port,
    keep_to,
    listener,
    listening,
    program,
    say,
    tree,
)
from tests.support.node import find_node, install_packages

ROW = "peers"
LITELLM = ROOT / ".bootstrap" / "litellm"
SERVER_PROXY = ROOT / ".bootstrap" / "server-proxy"
SCRIPTS = ROOT / "benchmarks" / "peers"
KEY = "sk-benchmark-only-5f1e0c"
SETTINGS = """
general_settings:
  master_key: {key}
  pass_through_endpoints:
    - path: /fal
      target: {fal}
      headers: {{Authorization: "Key benchmark:key"}}
      include_subpath: true
      auth: true
"""
START_SECONDS = 120.0
CONNECTIONS = 16
OURS, THEIRS, PROXY = "filmgate", "LiteLLM", "server proxy"
GOOD = {OURS: "202", THEIRS: "200", PROXY: "200"}


@dataclass(frozen=True, slots=True)
class Peer:
    """A server with the request that it gets again and again."""

    name: str
    port: int
    request: str
    pid: int


async def measure(folder: Path, options: Options) -> list[Figure]:
    """Three servers take turns; each is alone on one core, what is behind it and the generator on another.

    Filmgate writes each job to its store; the others forward it to a server that answers at once.
    """
    rounds, seconds = (1, 3.0) if options.quick else (3, 6.0)
    body = json.dumps(bodies("peers", 1)[0])
    async with AsyncExitStack() as stack:
        fal, _ = await stack.enter_async_context(listener("constant", folder))  # behind the peers
        served = await stack.enter_async_context(serving(folder))
        ours = Peer(OURS, served.port, served.request("POST", "/v1/jobs", body), served.api.pid)
        litellm = await stack.enter_async_context(_litellm(folder, fal))
        proxy = await stack.enter_async_context(_server_proxy(folder, fal))
        core = _spread([ours, litellm, proxy], served.store.pid)
        rates: dict[str, list[float]] = {OURS: [], THEIRS: [], PROXY: []}
        for peer in (ours, litellm, proxy):
            await _rate(peer, seconds / 2, core)
        for number in range(1, rounds + 1):
            for peer in (ours, litellm, proxy):
                rates[peer.name].append(rate := await _rate(peer, seconds, core))
                say(f"peers: round {number} of {rounds}, {peer.name}: {rate:.0f} a second")
    return [
        _figure("LiteLLM's pass-through", rates[OURS], rates[THEIRS], 25),
        _figure("fal's server proxy, Express", rates[OURS], rates[PROXY], 1.7),
    ]


def _figure(name: str, ours: list[float], peer: list[float], least: float) -> Figure:
    return Figure(
        ROW,
        f"accepted in one second by one process, against {name}",
        "1/s",
        median(ours),
        median(peer),
        name,
        at_least_times_the_peer(least),
        spread_of(ours),
        spread_of(peer),
    )


def _spread(peers: list[Peer], store: int) -> int | None:
    """Put the servers on the first core, and the store on the last; the core for the generator, or None."""
    found = cores()
    if len(found) < 2:
        return None
    for peer in peers:
        for pid in tree(peer.pid):
            keep_to(pid, found[0])
    keep_to(store, found[-1])
    return found[-1]


async def _rate(peer: Peer, seconds: float, core: int | None) -> float:
    """Accepted in one second.

    Raises:
        NotMeasured: something was answered otherwise.
    """
    report = await flood(Flood(peer.port, seconds, [Stream("submit", [peer.request], CONNECTIONS)], core))
    result = report.streams["submit"]
    if result.statuses.keys() != {GOOD[peer.name]} or result.unanswered:
        raise NotMeasured(f"{peer.name} answered {result.statuses}, {result.unanswered} got no answer.")
    return result.accepted


@asynccontextmanager
async def _litellm(folder: Path, fal: int) -> AsyncIterator[Peer]:
    """LiteLLM's proxy with one pass-through endpoint, whose key it checks; no database."""
    if not (LITELLM / "litellm").is_dir():
        raise NotMeasured("LiteLLM is not installed: run ./dev bench --peers.")
    port, log, settings = free_port(), folder / "litellm.log", folder / "litellm.yaml"
    settings.write_text(SETTINGS.format(key=KEY, fal=f"http://127.0.0.1:{fal}"), encoding="utf-8")
    env = environment(PYTHONPATH=str(LITELLM), PYTHONNOUSERSITE="1", LITELLM_LOCAL_MODEL_COST_MAP="True")
    # -S: none of our packages, only its own
    command = (_python(), "-S", "-m", "litellm.proxy.proxy_cli", "--config", str(settings), "--host", "127.0.0.1")
    more = ("--port", str(port), "--num_workers", "1", "--telemetry", "False")
    async with program(*command, *more, env=env, log=log) as process:
        await listening(process, port, log, seconds=START_SECONDS)
        body = json.dumps(bodies("peers", 1)[0]["input"])
        yield Peer(THEIRS, port, http_request("POST", port, f"/fal/{MODEL}", KEY, body), process.pid)


def _python() -> str:
    """The interpreter below our environment."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")


@asynccontextmanager
async def _server_proxy(folder: Path, fal: int) -> AsyncIterator[Peer]:
    """The server proxy of fal on Express; it checks no key."""
    await install_packages(SCRIPTS, SERVER_PROXY)
    port, log = free_port(), folder / "server-proxy.log"
    env = environment(FAL_KEY="benchmark:key", NODE_ENV="production")
    command = (str(find_node().path), str(SERVER_PROXY / "server_proxy.mjs"), str(port), str(fal))
    async with program(*command, env=env, log=log) as process:
        await listening(process, port, log)
        body = json.dumps(bodies("peers", 1)[0]["input"])
        target = f"x-fal-target-url: http://127.0.0.1:{fal}/{MODEL}"
        yield Peer(PROXY, port, http_request("POST", port, "/api/fal/proxy", KEY, body, target), process.pid)
