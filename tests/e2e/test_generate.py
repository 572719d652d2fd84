"""`filmgate generate` against a real `filmgate up`: what a person sees, and what they get."""

import asyncio
import contextlib
import json
import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageFilter

from tests.support.pictures import encoded
from tests.support.processes import COMMAND, run_command
from tests.support.repo import ROOT
from tests.support.terminal import Terminal
from tests.support.up import Up
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

SPEED = 4  # the emulator's clock: a clip of "3 s" takes less than one


class UpWithJobs(Up):
    """A running `filmgate up`; a client finds its key in its data directory."""

    key: str

    async def jobs(self) -> list[dict[str, Any]]:
        """All jobs so far, newest first."""
        async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {self.key}"}) as web:
            reply = await web.get(f"http://127.0.0.1:{self.port}/v1/jobs?limit=100")
        found: list[dict[str, Any]] = reply.json()["data"]
        return found


@pytest.fixture(scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UpWithJobs]:
    """Everything on this machine, as a person starts it."""
    running = UpWithJobs(tmp_path_factory.mktemp("up") / "data", FILMGATE_POLL_INTERVAL="0.1").start()
    try:
        running.key = (await running.ready()).key
        async with httpx.AsyncClient(trust_env=False) as web:
            clock = await web.post(f"http://127.0.0.1:{running.port + 1}/emulator/clock", json={"speed": SPEED})
            assert clock.is_success
        yield running
    finally:
        await running.clean_up()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landscape of 1280 by 720: sky, sun, hill, and a sensor's noise."""
    picture = Image.effect_noise((1280, 720), 60).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for y in range(0, 720, 2):
        draw.line((0, y, 1280, y), fill=(y // 4, 80 + y // 8, 255 - y // 3))
    draw.ellipse((500, 200, 800, 500), fill=(250, 220, 90))
    draw.polygon([(0, 720), (400, 380), (800, 720)], fill=(40, 90, 50))
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    picture.filter(ImageFilter.GaussianBlur(1)).save(path, quality=92)
    return path


async def run(up: Up, folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`filmgate generate …` without a terminal."""
    return await run_command("generate", *arguments, environment=up.environment | more, cwd=folder)


@dataclass
class CuttingProxy:
    """A TCP proxy that cuts the first event stream after its first events, and records the requests for streams."""

    target: int
    port: int = 0
    streams: list[bytes] = field(default_factory=list)
    last_id: bytes = b""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes both ways."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await asyncio.gather(self._up(reader, downstream), self._down(upstream, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            downstream.transport.abort()

    async def stop(self) -> None:
        """Wait until all connections are closed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if re.match(rb"GET /v1/jobs/\w+/events ", chunk):
                self.streams.append(chunk)
            writer.write(chunk)
            await writer.drain()
        raise ConnectionError

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
            whole = chunk[: chunk.rfind(b"\n\n") + 1]  # a chunk may end in the middle of an event
            found = re.findall(rb"\nid: ([0-9-]+)\n", whole)
            if found and not self.last_id:
                self.last_id = found[-1]
                raise ConnectionError
        raise ConnectionError


@contextlib.asynccontextmanager
async def cutting_proxy(target: int) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of this port of ours."""
    proxy = CuttingProxy(target)
    server = await asyncio.start_server(proxy.accepted, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()


def watched(path: Path) -> tuple[float, float]:
    """Duration in seconds, width and height of a clip, by decoding it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.time for frame in container.decode(stream)]
        assert frames[-1] is not None
        rate = stream.average_rate
        assert rate is not None
        return frames[-1] + float(1 / rate), stream.width / stream.height


def names(folder: Path) -> list[str]:
    """A folder's content."""
    return sorted(path.name for path in folder.iterdir())


async def test_a_photograph_becomes_a_clip(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """The file is a clip of five seconds in the image's proportions; stdout is its path, without control codes."""
    ended = await run(up, tmp_path, "--image", str(photo), "--prompt", "the sun rises")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "photo.mp4\n"
    seconds, ratio = watched(tmp_path / "photo.mp4")
    assert seconds == pytest.approx(5.0, abs=0.1)
    assert ratio == pytest.approx(1280 / 720, rel=0.02)
    assert re.search(r"^photo\.mp4 · 5 s clip · \d+ kB · \$1\.40 · took \d+ s$", ended.stderr, re.MULTILINE)
    states = ["Uploading photo.jpg", "Submitting", "fal is making the clip", "Downloading photo.mp4"]
    assert [line for line in ended.stderr.splitlines() if line in states] == states
    assert "\x1b" not in ended.stderr
    assert names(tmp_path) == ["photo.mp4"]


async def test_a_phones_photograph_becomes_a_clip(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """A HEIC that lies on its side: the command says what became of it, and the clip stands upright."""
    turned, file = Image.Exif(), tmp_path / "IMG_0001.HEIC"
    turned[ExifTags.Base.Orientation] = 6
    with Image.open(photo) as image:
        file.write_bytes(encoded("HEIF", image, exif=turned.tobytes()))
    ended = await run(up, tmp_path, "--image", str(file), "--prompt", "the sun rises")
    assert ended.returncode == 0, ended.stderr
    assert "IMG_0001.HEIC was converted from heic to jpeg." in ended.stderr
    assert watched(tmp_path / "IMG_0001.mp4")[1] == pytest.approx(720 / 1280, rel=0.02)


async def test_a_dropped_stream_is_resumed(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """After a cut the stream is requested again from the last event on, and the job ends as usual."""
    async with cutting_proxy(up.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        ended = await run(
            up,
            tmp_path,
            *("--image", str(photo), "--prompt", "waves [emu:run:8]", "-o", "cut.mp4", "--url", url),
            FILMGATE_KEY=up.key,
        )
    assert ended.returncode == 0, ended.stderr
    assert "The connection dropped; reconnecting …" in ended.stderr
    first, second, *_ = proxy.streams
    assert b"last-event-id" not in first.lower()
    assert b"last-event-id: " + proxy.last_id in second.lower()
    assert watched(tmp_path / "cut.mp4")[0] == pytest.approx(5.0, abs=0.1)


def at_terminal(up: Up, folder: Path, *arguments: str) -> Terminal:
    """`filmgate generate …` as a person sees it."""
    return Terminal([*COMMAND, "generate", *arguments], folder, {"PYTHONPATH": str(ROOT), **up.environment})


async def test_ctrl_c_can_cancel_the_job(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """Ctrl-C and `y` cancel the job; the command says so, leaves no file, and exits with 130."""
    arguments = ("--image", str(photo), "--prompt", "to cancel [emu:run:200]", "-o", "gone.mp4")
    terminal = at_terminal(up, tmp_path, *arguments)
    try:
        await terminal.shows("fal is making the clip · ")
        terminal.press("\x03")
        await terminal.shows(r"Cancel the job\? .* \[y/N\] ")
        terminal.press("y\n")
        await terminal.shows("Cancelled")
        assert await terminal.ends() == 130
    finally:
        terminal.close()
    (job,) = [job for job in await up.jobs() if job["input"]["prompt"].startswith("to cancel")]
    assert job["status"] == "canceled"
    assert names(tmp_path) == []


async def test_a_second_ctrl_c_leaves_the_job_to_be_picked_up(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """Ctrl-C at the question leaves the job running; the printed command gets the clip, and buys nothing."""
    terminal = at_terminal(up, tmp_path, "--image", str(photo), "--prompt", "to keep [emu:run:8]", "-o", "kept.mp4")
    try:
        await terminal.shows("fal is making the clip · ")
        terminal.press("\x03")
        await terminal.shows(r"\[y/N\] ")
        terminal.press("\x03")
        line = await terminal.shows(r"The job goes on; get it with: filmgate generate .*4")
        assert await terminal.ends() == 130
    finally:
        terminal.close()
    before = len(await up.jobs())
    ended = await run(up, tmp_path, *line.partition("filmgate generate ")[2].split())
    assert (ended.returncode, ended.stdout) == (0, "kept.mp4\n"), ended.stderr
    assert watched(tmp_path / "kept.mp4")[0] == pytest.approx(5.0, abs=0.1)
    assert len(await up.jobs()) == before


async def test_a_pause_is_shown_while_the_job_waits(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """An administrator's reason is next to the state; when buying continues, the clip comes."""
    paused = await run_command("pause", "--reason", "fal is being watched", environment=up.environment)
    assert paused.returncode == 0, paused.stderr
    waiting = asyncio.create_task(run(up, tmp_path, "--image", str(photo), "--prompt", "a pause"))

    async def in_line() -> bool:
        return any(job["upstream_paused"] for job in await up.jobs())

    await wait_until(in_line, "the job waits", timeout=30)
    resumed = await run_command("resume", environment=up.environment)
    assert resumed.returncode == 0, resumed.stderr
    ended = await waiting
    assert ended.returncode == 0, ended.stderr
    assert "paused: fal is being watched" in ended.stderr


async def test_a_failed_job_is_one_sentence(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """A failed job ends the command with 1, its code and fal's reason; `--json` prints the job as well."""
    arguments = ("--image", str(photo), "--prompt", "no [emu:422_content_policy]", "--json")
    ended = await run(up, tmp_path, *arguments)
    assert ended.returncode == 1
    job = json.loads(ended.stdout)
    assert job["status"] == "failed"
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"filmgate: Job {job['id']} failed ({job['error']['code']}): ")
    assert "flagged by a content checker" in last
    assert names(tmp_path) == []


async def test_a_refused_input_says_what_is_wrong(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """A problem document becomes its detail and each error's message; no job was created."""
    before = len(await up.jobs())
    ended = await run(up, tmp_path, "--image", str(photo), "--prompt", "x", "--duration", "7")
    assert ended.returncode == 1
    assert ended.stderr.endswith("filmgate: The input is not valid. duration must be '5' or '10'.\n")
    assert len(await up.jobs()) == before


async def test_takes_are_several_clips_of_one_picture(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """With a last frame, on a model that takes one: one upload of each file, two jobs, two files."""
    before = len(await up.jobs())
    model = ("--model", "fal-ai/kling-video/v2.5-turbo/pro/image-to-video", "--set", "cfg_scale=0.7")
    words = ("--image", str(photo), "--end-image", str(photo), "--prompt", "twice", "-n", "2")
    ended = await run(up, tmp_path, *words, *model)
    assert (ended.returncode, ended.stdout) == (0, "photo-1.mp4\nphoto-2.mp4\n"), ended.stderr
    assert names(tmp_path) == ["photo-1.mp4", "photo-2.mp4"]
    assert "2 of 2 clips are ready" in ended.stderr
    one, two, *_ = await up.jobs()
    assert len(await up.jobs()) == before + 2
    assert one["input"]["cfg_scale"] == 0.7
    assert {"image_url", "tail_image_url"} <= set(one["input"])
    assert one["input"] == two["input"]


async def test_an_existing_file_is_not_replaced(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """The refusal comes before anything is uploaded or bought."""
    (tmp_path / "photo.mp4").write_text("precious")
    before = len(await up.jobs())
    ended = await run(up, tmp_path, "--image", str(photo), "--prompt", "x")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "filmgate: photo.mp4 exists; choose another name with -o, or replace it with --force.\n"
    )
    assert (tmp_path / "photo.mp4").read_text() == "precious"
    assert len(await up.jobs()) == before


async def test_a_key_of_ones_own_makes_a_command_repeatable(up: UpWithJobs, photo: Path, tmp_path: Path) -> None:
    """The same command with the same idempotency key gets the same clip and does not buy a second one."""
    arguments = ("--image", str(photo), "--prompt", "once", "--idempotency-key", "order-17")
    first = await run(up, tmp_path, *arguments, "-o", "first.mp4")
    again = await run(up, tmp_path, *arguments, "-o", "again.mp4")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    assert len([job for job in await up.jobs() if job["input"]["prompt"] == "once"]) == 1
