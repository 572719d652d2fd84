"""`filmgate up`, as a person starts, uses and stops it: only real processes."""

import asyncio
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import Image, ImageStat

from tests.support.processes import clean_environment, free_port, run_command
from tests.support.up import Printed, Up
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

CHILDREN = {
    "the API": ("app.cli", "serve"),
    "the supervisor": ("workers",),
    "the keeper": ("workers", "keeper"),
    "the lane": ("workers", "lanes"),
    "the emulator": ("app.emulator",),
    "the store": ("valkey-server",),
}
ORPHAN_SECONDS = 15


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Up]:
    """One data directory and its ports; a test may stop the gateway in it, `printed` restarts it.

    White space and `=` are in its path, as in many a home directory.
    """
    made = Up(tmp_path_factory.mktemp("up") / "My Projects=mine" / "data")
    yield made
    await made.clean_up()


@pytest.fixture
async def printed(gateway: Up) -> Printed:
    """The running gateway's output at its start; FILMGATE_TEST_UP is a file with another gateway's output."""
    if another := os.environ.get("FILMGATE_TEST_UP"):
        return Printed.read(await asyncio.to_thread(Path(another).read_text, "utf-8"))
    if not gateway.running:
        gateway.start()
    return await gateway.ready()


@pytest.fixture
async def api(printed: Printed) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running gateway, with the key it printed."""
    headers = {"Authorization": f"Bearer {printed.key}"}
    async with httpx.AsyncClient(base_url=printed.address, headers=headers, timeout=90, trust_env=False) as client:
        yield client


def _body(gateway: Up, prompt: str) -> dict[str, Any]:
    return {"input": {"prompt": prompt, "image_url": f"http://127.0.0.1:{gateway.port + 1}/sample.jpg"}}


async def _submit(api: httpx.AsyncClient, gateway: Up, prompt: str, *, wait: int = 0) -> dict[str, Any]:
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    reply = await api.post("/v1/jobs", json=_body(gateway, prompt), headers=headers)
    assert reply.status_code in {200, 202}, reply.text
    job: dict[str, Any] = reply.json()
    return job


async def _until(api: httpx.AsyncClient, job_id: str, *statuses: str, timeout: float = 60) -> dict[str, Any]:
    """The job once it has one of these statuses; the request is repeated while the gateway restarts."""

    async def reached() -> dict[str, Any] | None:
        try:
            reply = await api.get(f"/v1/jobs/{job_id}")
        except httpx.TransportError:
            return None
        job: dict[str, Any] | None = reply.json() if reply.status_code == 200 else None
        return job if job is not None and job["status"] in statuses else None

    found = await wait_until(reached, f"{job_id} is {' or '.join(statuses)}", timeout=timeout, interval=0.1)
    assert found is not None
    return found


async def _requests(gateway: Up, prompt: str) -> int:
    """How many submits with this prompt the emulator has accepted."""
    async with httpx.AsyncClient(trust_env=False) as web:
        accepted = (await web.get(f"http://127.0.0.1:{gateway.port + 1}/emulator/requests")).json()
    return sum(request["prompt"] == prompt for request in accepted["requests"])


def _colours(image: Image.Image) -> list[float]:
    return ImageStat.Stat(image.convert("RGB")).mean


def _film(clip: bytes) -> tuple[float, Image.Image]:
    """The duration in seconds, and the first frame; the whole clip is decoded."""
    with av.open(io.BytesIO(clip), "r") as container:
        assert "mp4" in container.format.name
        frames = list(container.decode(container.streams.video[0]))
        assert container.duration is not None
        return container.duration / av.time_base, frames[0].to_image()  # type: ignore[no-untyped-call]  # untyped in PyAV


# --- start -----------------------------------------------------------------------------------------------------


async def test_it_prints_where_it_is_and_how_to_use_it(gateway: Up, printed: Printed) -> None:
    """Address, key, dashboard and a curl line; only the owner can read the key's file."""
    assert printed.address == f"http://127.0.0.1:{gateway.port}"
    assert printed.dashboard == f"{printed.address}/"
    assert printed.key.startswith("fg_live_")
    kept = gateway.data_dir / "client.json"
    assert json.loads(kept.read_text("utf-8")) == {"url": printed.address, "key": printed.key}
    assert kept.stat().st_mode & 0o777 == 0o600
    assert gateway.data_dir.stat().st_mode & 0o777 == 0o700


async def test_the_printed_link_signs_a_browser_in_once(printed: Printed, api: httpx.AsyncClient) -> None:
    """As the holder of the printed key; the code is behind `#`, which browsers send to nobody."""
    page, _, code = printed.sign_in.partition("#")
    assert page == f"{printed.address}/enter"
    me = (await api.get("/v1/me")).json()
    async with httpx.AsyncClient(base_url=printed.address, trust_env=False) as browser:
        session = (await browser.post("/v1/session", json={"code": code})).json()
        assert (session["role"], session["user"], session["key"]["id"]) == ("user", me["user"], me["key"]["id"])
        assert (await browser.get("/v1/jobs")).status_code == 200
        assert (await browser.post("/v1/session", json={"code": code})).status_code == 410


@pytest.mark.skipif(shutil.which("curl") is None, reason="the printed line needs curl")
async def test_the_printed_curl_line_makes_a_clip_of_the_image(printed: Printed, api: httpx.AsyncClient) -> None:
    """Pasted into a shell, it returns a job that succeeded, and a clip that plays for 5 s."""
    line = ["sh", "-c", printed.curl]
    ended = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, check=True, timeout=90)
    job = json.loads(ended.stdout)
    assert job["status"] == "succeeded", job
    assert job["charged_usd"] == job["quoted_usd"] == "1.40"
    redirect = await api.get(f"/v1/jobs/{job['id']}/video")
    assert redirect.status_code == 307
    assert redirect.headers["location"] == job["output"]["video"]["url"]
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as web:
        clip = (await web.get(redirect.headers["location"])).content
        sent = Image.open(io.BytesIO((await web.get(job["input"]["image_url"])).content))
    assert len(clip) == job["output"]["video"]["file_size"]
    seconds, first = _film(clip)
    assert seconds == pytest.approx(5, abs=0.1)
    for shown, wanted in zip(_colours(first), _colours(sent), strict=True):
        assert shown == pytest.approx(wanted, abs=12)


async def test_the_printed_commands_work_in_every_folder(gateway: Up, printed: Printed, tmp_path: Path) -> None:
    """Pasted into a shell without our programs on its path: a clip, and then the log's lines about its job."""

    def paste(line: str) -> str:
        shell = ["sh", "-c", line]
        env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run(shell, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=90, check=False)  # noqa: S603
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert await asyncio.to_thread(paste, printed.generate) == "clip.mp4\n"
    assert _film((tmp_path / "clip.mp4").read_bytes())[0] == pytest.approx(5, abs=0.1)
    (logs,) = re.findall(r"^  (FILMGATE_DATA_DIR=.* logs) --follow$", gateway.output, re.MULTILINE)
    (ended,) = re.findall(r"job.ended .*job=(job_\w+)", await asyncio.to_thread(paste, f"{logs} -n 1000"))[-1:]
    of_job = await asyncio.to_thread(paste, f"{logs} --job {ended[:12]}")
    assert {"job.admitted", "job.submitted", "job.ended"} <= set(of_job.split())
    assert not set(re.findall(r"job=(\w+)", of_job)) - {ended}


async def test_other_commands_find_the_running_gateway_by_its_directory(gateway: Up, printed: Printed) -> None:
    """`filmgate jobs` needs no address: the data directory has the store's."""
    ended = await run_command("jobs", "held", "--json", environment=gateway.environment)
    assert (ended.returncode, ended.stdout.strip()) == (0, "[]"), ended.stderr
    elsewhere = {name: value for name, value in gateway.environment.items() if name != "FILMGATE_PORT"}
    invited = await run_command("users", "invite", "me", environment=elsewhere)
    assert invited.stdout.startswith(f"{printed.address}/invite#"), invited


async def test_the_doctor_finds_nothing_wrong_with_it(gateway: Up, printed: Printed) -> None:
    """`filmgate doctor` on a fresh `filmgate up`: exit 0, and the store has this version's data format."""
    ended = await run_command("doctor", "--json", environment=gateway.environment)
    read = json.loads(ended.stdout)
    assert ended.returncode == 0, [one for one in read["checks"] if one["state"] == "fault"]
    assert [one["state"] for one in read["checks"] if one["check"] == "format"] == ["ok"]


# --- refusals --------------------------------------------------------------------------------------------------


async def test_a_second_one_in_the_same_directory_says_who_holds_it(gateway: Up, printed: Printed) -> None:
    """One sentence with process id and address, exit 1; the first keeps running."""
    ended = await run_command("up", environment=gateway.environment | {"FILMGATE_PORT": str(free_port())})
    assert ended.returncode == 1
    assert f"process {gateway.pid}, {printed.address}; stop it" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert gateway.running


@pytest.mark.parametrize("taken", ["FILMGATE_PORT", "the emulator's port, FILMGATE_PORT + 1"])
async def test_a_port_in_use_is_reported_in_one_sentence(tmp_path: Path, taken: str) -> None:
    """Exit 1, and the sentence names the port and the setting; nothing was started."""
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port if taken == "FILMGATE_PORT" else port + 1))
        other.listen()
        number = other.getsockname()[1]
        ended = await run_command("up", environment=_settings(tmp_path, FILMGATE_PORT=str(port)))
    assert ended.returncode == 1
    expected = f"filmgate: Port {number} is taken ({taken}); set FILMGATE_PORT to a free one."
    assert ended.stderr.splitlines() == [expected]
    assert not (tmp_path / "data" / "redis.log").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FILMGATE_WORKERS", "many"),
        ("FILMGATE_PORT", "65535"),
        ("FILMGATE_METRICS_PORT", "65535"),
        ("FILMGATE_HOST", "no such host"),
        ("FAL_KEY", "changeme"),
        ("FILMGATE_WROKERS", "2"),
    ],
)
async def test_a_setting_that_cannot_be_meant_is_refused_by_its_name(tmp_path: Path, name: str, value: str) -> None:
    """Malformed or unknown: exit 78, one sentence that names the setting and not the value of a secret."""
    ended = await run_command("up", environment=_settings(tmp_path, **{name: value}))
    assert ended.returncode == 78, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert re.match(rf"filmgate: {name}\b.*\.$", ended.stderr)
    assert name != "FAL_KEY" or value not in ended.stderr


async def test_an_unknown_option_is_wrong_usage(tmp_path: Path) -> None:
    """Exit 2."""
    ended = await run_command("up", "--fast", environment=_settings(tmp_path))
    assert ended.returncode == 2
    assert "--fast" in ended.stderr


def _settings(tmp_path: Path, **settings: str) -> dict[str, str]:
    return clean_environment(**{"FILMGATE_DATA_DIR": str(tmp_path / "data"), **settings})


# --- recovery --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", CHILDREN)
async def test_a_killed_child_is_started_again(gateway: Up, api: httpx.AsyncClient, who: str) -> None:
    """Kill -9 of one child: it is restarted, and a running job succeeds, bought once."""
    prompt = f"while {who} is killed [emu:run:1]"
    job = await _submit(api, gateway, prompt)
    await _until(api, job["id"], "running")
    killed = gateway.child(*CHILDREN[who]) if who != "the store" else _store(gateway)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)

    async def back() -> bool:
        now = gateway.child(*CHILDREN[who]) if who != "the store" else _store(gateway)
        return now is not None and now != killed

    await wait_until(back, f"{who} is there again", timeout=30)
    ended = await _until(api, job["id"], "succeeded", "failed", "held")
    assert ended["status"] == "succeeded", ended
    assert await _requests(gateway, prompt) == 1
    assert gateway.running


def _store(gateway: Up) -> int | None:
    below = gateway.descendants()
    return next((pid for pid, words in below.items() if re.search("(valkey|redis)-server", words[0])), None)


# --- end and restart ---------------------------------------------------------------------------------------------


async def test_a_restart_finds_every_job_again(gateway: Up, api: httpx.AsyncClient, printed: Printed) -> None:
    """Ctrl-C ends all of it with status 0; the next start has key, jobs and clips, and completes the other jobs."""
    done = await _submit(api, gateway, "done before", wait=60)
    assert done["status"] == "succeeded", done
    middle = await _submit(api, gateway, "in the middle [emu:run:6]")
    await _until(api, middle["id"], "running")
    before = {job["id"] for job in (await api.get("/v1/jobs", params={"limit": "100"})).json()["data"]}

    gateway.press_ctrl_c()
    assert await gateway.ended() == 0, gateway.output
    assert gateway.left() == {}

    again = await gateway.start().ready()
    assert again.key == printed.key
    assert {job["id"] for job in (await api.get("/v1/jobs", params={"limit": "100"})).json()["data"]} == before
    async with httpx.AsyncClient(trust_env=False) as web:
        clip = await web.get(done["output"]["video"]["url"])
    assert clip.status_code == 200
    assert len(clip.content) == done["output"]["video"]["file_size"]
    ended = await _until(api, middle["id"], "succeeded", "failed", "held")
    assert ended["status"] == "succeeded", ended
    assert await _requests(gateway, "in the middle [emu:run:6]") == 1


async def test_sigterm_ends_every_child(gateway: Up, printed: Printed) -> None:
    """As a service manager does: status 0, no process is left, in the order that loses no work."""
    below = gateway.descendants()
    assert len(below) >= 7, below
    gateway.send(signal.SIGTERM)
    assert await gateway.ended() == 0, gateway.output
    assert gateway.left() == {}
    assert gateway.output.rstrip().endswith("Stopped.")


async def test_a_killed_parent_leaves_no_orphan(gateway: Up, api: httpx.AsyncClient) -> None:
    """Kill -9 of `filmgate up` during a job: all other processes end within seconds."""
    job = await _submit(api, gateway, "never seen to its end [emu:run:60]")
    await _until(api, job["id"], "running")
    gateway.send(signal.SIGKILL)
    await gateway.ended()
    await gateway.none_left(timeout=ORPHAN_SECONDS)


@pytest.mark.parametrize("first", ["app.emulator", "serve", "lanes"])
async def test_ctrl_c_during_the_start_leaves_nothing(tmp_path: Path, first: str) -> None:
    """Processes that are already started are stopped: status 0, and none is left."""
    gateway = Up(tmp_path / "data").start()
    try:

        async def has_begun() -> bool:
            assert gateway.running, gateway.output
            return gateway.child(first) is not None

        await wait_until(has_begun, f"{first} has been started", timeout=60, interval=0.01)
        gateway.press_ctrl_c()
        assert await gateway.ended() == 0, gateway.output
        assert gateway.left() == {}
        assert "Traceback" not in gateway.output
    finally:
        await gateway.clean_up()
