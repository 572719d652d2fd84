"""`filmgate generate` against scripted servers: where the key goes, what is retried, what becomes a file."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import clean_environment, run_command
from tests.support.receiver import Received, Receiver, Reply

pytestmark = pytest.mark.anyio

KEY = "fg_live_secret"
CLIP = bytes(range(256)) * 400


def job(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    """A job as a gateway shows it."""
    return {
        "id": "job_1",
        "status": status,
        "input": {"duration": "5"},
        "error": None,
        "held_reason": None,
        "quoted_usd": "1.40",
        "charged_usd": "1.40",
        "queue_position": None,
        "logs": [],
        "created_at": "2026-11-22T12:00:00.000Z",
        "completed_at": "2026-11-22T12:00:07.000Z",
        **more,
    }


MODEL: dict[str, Any] = {
    "id": "fal-ai/kling-video/v2/master/image-to-video",
    "input": {
        "properties": {"prompt": {"type": "string"}, "image_url": {"type": "string", "format": "image-url"}},
        "required": ["prompt", "image_url"],
    },
}


def quote(*limits: dict[str, Any]) -> dict[str, Any]:
    """A quote as a gateway answers it."""
    return {"quoted_usd": "1.40", "video_seconds": 5, "limits": list(limits)}


def answer(content: dict[str, Any], status: int = 200, **headers: str) -> Reply:
    """A JSON reply on a connection that closes."""
    return Reply(
        status, {"Content-Type": "application/json", "Connection": "close", **headers}, json.dumps(content).encode()
    )


def redirect(url: str) -> Reply:
    """The gateway's answer to a request for the clip."""
    return Reply(307, {"Location": url, "Connection": "close"})


def clip(content: bytes = CLIP) -> Reply:
    """A clip; a shorter content ends before its declared length."""
    length = {"Content-Length": str(len(CLIP))}
    return Reply(200, {"Content-Type": "video/mp4", "Connection": "close", **length}, content)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""
    writer.transport.abort()


async def generate(folder: Path, gateway: Receiver | None, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `filmgate generate …` with this gateway, or without one."""
    access = {} if gateway is None else {"FILMGATE_URL": gateway.url, "FILMGATE_KEY": KEY}
    environment = clean_environment(FILMGATE_DATA_DIR=str(folder / "nowhere"), **access)
    ended = await run_command("generate", *arguments, environment=environment, cwd=folder)
    return ended.returncode, ended.stdout, ended.stderr


def names(folder: Path) -> list[str]:
    """The folder's content."""
    return sorted(path.name for path in folder.iterdir())


def holds_the_key(request: Received) -> bool:
    """True when the key is anywhere in a request."""
    return KEY in request.target or any(KEY in value for value in request.headers.values())


async def test_the_key_goes_to_the_gateway_only(tmp_path: Path) -> None:
    """The gateway's redirect is followed to another host without the key."""
    async with Receiver() as gateway, Receiver() as elsewhere:
        gateway.answers([answer(job()), redirect(f"{elsewhere.url}/clip.mp4")])
        elsewhere.answers([clip()])
        code, out, err = await generate(tmp_path, gateway, "--job", "job_1", "-o", "a.mp4")
    assert (code, out) == (0, "a.mp4\n"), err
    assert [request.target for request in gateway.requests] == ["/v1/jobs/job_1", "/v1/jobs/job_1/video"]
    assert all(holds_the_key(request) for request in gateway.requests)
    assert [request.target for request in elsewhere.requests] == ["/clip.mp4"]
    assert not any(holds_the_key(request) for request in elsewhere.requests)
    assert (tmp_path / "a.mp4").read_bytes() == CLIP


async def test_a_submission_is_repeated_with_its_key(tmp_path: Path) -> None:
    """A lost connection and a 503 are retried after Retry-After, always with the same Idempotency-Key."""
    away = answer(
        {"detail": "The store does not answer.", "code": "store_unavailable"}, 503, **{"Retry-After": "1"}
    )
    async with Receiver() as gateway, Receiver() as elsewhere:
        asked = [answer(MODEL), answer(quote())]
        gateway.answers([*asked, hang_up, away, answer(job(), 202), redirect(f"{elsewhere.url}/clip.mp4")])
        elsewhere.answers([clip()])
        image = ("--image", "https://example.com/lake%20view.jpg", "--prompt", "x")
        code, out, err = await generate(tmp_path, gateway, *image)
    assert (code, out) == (0, "lake view.mp4\n"), err
    submissions = [request for request in gateway.requests if request.target == "/v1/jobs"]
    assert len(submissions) == 3
    assert len({request.headers["idempotency-key"] for request in submissions}) == 1
    assert len({request.body for request in submissions}) == 1


async def test_a_download_that_breaks_off_is_no_clip(tmp_path: Path) -> None:
    """A download that ends too early is restarted; only the complete clip gets the name."""
    async with Receiver() as gateway:
        gateway.answers([answer(job()), clip(CLIP[:1000]), clip()])
        code, _, err = await generate(tmp_path, gateway, "--job", "job_1")
    assert code == 0, err
    assert "The download broke off; trying again …" in err
    assert names(tmp_path) == ["job_1.mp4"]
    assert (tmp_path / "job_1.mp4").read_bytes() == CLIP


async def test_force_replaces_a_file(tmp_path: Path) -> None:
    """With `--force` the clip replaces the file; without it no request is sent."""
    (tmp_path / "a.mp4").write_text("old")
    async with Receiver() as gateway:
        code, _, err = await generate(tmp_path, gateway, "--job", "job_1", "-o", "a.mp4")
        assert (code, gateway.requests) == (1, []), err
        gateway.answers([answer(job()), clip()])
        code, _, err = await generate(tmp_path, gateway, "--job", "job_1", "-o", "a.mp4", "--force")
    assert code == 0, err
    assert (tmp_path / "a.mp4").read_bytes() == CLIP


async def test_a_page_is_not_saved_as_a_clip(tmp_path: Path) -> None:
    """A web page instead of the clip ends the command with 1, says how to retry, and leaves no file."""
    async with Receiver() as gateway:
        page = Reply(200, {"Content-Type": "text/html", "Connection": "close"}, b"<h1>Sorry</h1>")
        gateway.answers([answer(job()), page])
        code, out, err = await generate(tmp_path, gateway, "--job", "job_1", "-o", "a b.mp4")
    assert (code, out) == (1, "")
    assert err.endswith("get it with: filmgate generate --job job_1 -o 'a b.mp4'\n")
    assert names(tmp_path) == []


async def test_a_held_job_says_why(tmp_path: Path) -> None:
    """A held job ends the command with 1 and its reason; control characters in it do not reach the terminal."""
    async with Receiver() as gateway:
        gateway.answers([answer(job("held", held_reason="no_answer\x1b[2J"))])
        code, _, err = await generate(tmp_path, gateway, "--job", "job_1")
    assert code == 1
    assert "filmgate: Job job_1 is held (no_answer" in err
    assert "\x1b" not in err


async def test_without_a_key_it_says_how_to_get_one(tmp_path: Path) -> None:
    """No key is one sentence and exit 1; contradictory options are wrong usage, exit 2."""
    code, out, err = await generate(tmp_path, None, "--job", "job_1")
    assert (code, out) == (1, "")
    assert err.startswith("filmgate: There is no gateway to speak to. Give --url and --key, or set ")
    assert err.count("\n") == 1
    code, out, err = await generate(tmp_path, None, "--job", "job_1", "--prompt", "x")
    assert (code, out) == (2, "")
    assert "Traceback" not in err


async def test_a_kept_key_is_for_its_own_gateway(tmp_path: Path) -> None:
    """The key that `filmgate up` saves is not sent to another address."""
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "client.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "key": KEY}))
    async with Receiver() as another:
        code, _, err = await generate(tmp_path, None, "--job", "job_1", "--url", another.url)
        assert (code, another.requests) == (1, [])
    assert f"There is no key for {another.url}." in err


async def test_a_model_gets_its_fields_in_their_own_form(tmp_path: Path) -> None:
    """Each value has the type of the schema; a file's URL stands where it is asked for, also within a list."""
    (tmp_path / "face.png").write_bytes(b"a picture")
    element = {"type": "object", "properties": {"frontal_image_url": {"type": "string", "format": "image-url"}}}
    model: dict[str, Any] = {"id": "kling/v4/text-to-video", "input": {"required": [], "properties": {}}}
    model["input"]["properties"] = {
        "duration": {"type": "integer", "minimum": 3, "maximum": 30},
        "resolution": {"type": "string"},
        "seed": {"type": "integer"},
        "generate_audio": {"type": "boolean"},
        "image_urls": {"type": "array", "items": {"type": "string", "format": "image-url"}},
        "elements": {"type": "array", "items": element},
    }
    words = (
        "resolution=7",
        "seed=7",
        "generate_audio=false",
        "image_urls=@face.png",
        "image_urls=https://a.example/b",
    )
    fields = [
        part for word in (*words, 'elements=[{"frontal_image_url": "@face.png"}]') for part in ("--set", word)
    ]
    async with Receiver() as gateway:
        uploaded = answer({"url": "https://kept.example/1"})
        gateway.answers([answer(model), answer(quote()), uploaded, answer(job(), 202), clip()])
        code, _, err = await generate(tmp_path, gateway, "--model", model["id"], "--duration", "8", *fields)
    assert code == 0, err
    asked, sent = (json.loads(gateway.requests[number].body) for number in (1, 3))
    values = {"duration": 8, "resolution": "7", "seed": 7, "generate_audio": False}

    def with_file(url: str) -> dict[str, Any]:
        pictures = {"image_urls": [url, "https://a.example/b"], "elements": [{"frontal_image_url": url}]}
        return {"model": "kling/v4/text-to-video", "input": values | pictures}

    assert sent == with_file("https://kept.example/1")
    assert asked == with_file("https://example.com/a-file-that-is-uploaded-later")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--set seed=many", "seed is a whole number, not 'many'."),
        ("--set imageurl=x", "has no input imageurl; did you mean image_url?"),
        ("--set image_url=@b.jpg", "image_url is given twice."),
        ("--set mask=@nowhere.jpg", "There is no file nowhere.jpg."),
        ("--end-image https://a.example/b.jpg", "takes no last frame; leave --end-image out."),
        ("-n 3", "The limit usd/month of the user has 2.00 of 5.00 left, and 3 clips need 4.20"),
    ],
)
async def test_what_cannot_be_bought_is_not_uploaded(tmp_path: Path, words: str, says: str) -> None:
    """A value of another kind, a wrong name, a file that is not there, a budget that is too small: one sentence."""
    (tmp_path / "a.jpg").write_bytes(b"a picture")
    model = {**MODEL, "input": {**MODEL["input"], "properties": dict(MODEL["input"]["properties"])}}
    model["input"]["properties"] |= {"seed": {"type": "integer"}, "mask": {"type": "string", "format": "image-url"}}
    left = {"owner": "user", "unit": "usd", "window": "month", "amount": "5.00", "left": "2.00"}
    async with Receiver() as gateway:
        gateway.answers([answer(model), answer(quote({**left, "resets_at": None, "enough": True}))])
        code, out, err = await generate(tmp_path, gateway, "--image", "a.jpg", "--prompt", "x", *words.split())
    assert (code, out) == (1, ""), err
    assert says in err
    assert {request.target for request in gateway.requests} <= {f"/v1/models/{MODEL['id']}", "/v1/quotes"}


async def test_a_voice_is_printed_and_a_sound_is_saved(tmp_path: Path) -> None:
    """A job without a video: the voice's id on stdout, or the sound with its own ending."""
    voice = job(output={"video": None, "voice_id": "voice-829"})
    async with Receiver() as gateway, Receiver() as elsewhere:
        sound = job(output={"video": None, "audio": {"url": f"{elsewhere.url}/speech.wav"}})
        gateway.answers([answer(voice), answer(sound)])
        elsewhere.answers([clip()])
        said = await generate(tmp_path, gateway, "--job", "job_1")
        saved = await generate(tmp_path, gateway, "--job", "job_1")
    assert said[:2] == (0, "voice-829\n"), said
    assert "voice voice-829 · $1.40" in said[2]
    assert saved[:2] == (0, "job_1.wav\n"), saved
    assert (tmp_path / "job_1.wav").read_bytes() == CLIP
    assert not any(holds_the_key(request) for request in elsewhere.requests)


@pytest.mark.parametrize("wrong", ["resolution", "=720p", "a b=1"])
async def test_a_field_without_a_name_is_wrong_usage(tmp_path: Path, wrong: str) -> None:
    """Nothing is sent."""
    async with Receiver() as gateway:
        code, _, err = await generate(tmp_path, gateway, "--prompt", "x", "--model", "a/b", "--field", wrong)
    assert (code, gateway.requests) == (2, [])
    assert "--set is NAME=VALUE" in err
