"""Programs that speak to fal, made by others and run unmodified: LiteLLM's video functions, an MCP server."""

import json
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.clients.customers import KLING, Customers, Program, running
from tests.support.repo import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

SCRIPTS = Path(__file__).parent / "py"
PROGRAMS = ROOT / ".bootstrap" / "fal-programs"  # installed by `./dev test`


def run_program(customers: Customers, script: str, given: Any) -> AbstractAsyncContextManager[Program]:
    """One of our scripts with these programs, which are configured by an address and a key."""
    assert PROGRAMS.is_dir(), "LiteLLM and fal-mcp-server are not here: run ./dev test, which fetches them."
    address = f"127.0.0.1:{customers.installation.serve.port}"
    environment = {
        "GATEWAY": f"https://{address}",
        "FAL_RUN_HOST": f"{address}/fal/run",
        "FAL_QUEUE_RUN_HOST": f"{address}/fal/queue",
        "FAL_KEY": customers.key,
        "SSL_CERT_FILE": str(customers.certificates.authority),
        "PYTHONPATH": str(PROGRAMS),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it asks the internet for prices otherwise
    }
    return running(sys.executable, str(SCRIPTS / script), json.dumps(given), environment=environment)


async def test_litellm_makes_a_clip_and_tells_failures(customers: Customers) -> None:
    """`video_generation`, `video_status`, `video_content`: a clip, fal's refusal, and ours before a purchase."""
    good, bad, never = customers.prompt(), customers.prompt("validation_error"), customers.prompt()
    image = customers.installation.emulator.sample_image
    cases = [[KLING, good, image], [KLING, bad, image], [KLING, never, "ftp://127.0.0.1/a.jpg"]]
    async with run_program(customers, "litellm_video.py", cases) as program:
        clip, failed, refused = (await program.ended()).outcome
    assert (clip["first"], clip["status"], clip["mp4"]) == ("queued", "completed", True)
    assert failed["status"] == "failed"
    assert failed["error"]["message"]
    assert "The address must begin with https://" in refused["refused"]
    assert await customers.bought(good) == (1, 1)
    assert await customers.bought(bad) == (0, 0)
    assert await customers.bought(never) == (0, 0)


async def test_an_mcp_server_lists_prices_models_and_makes_a_clip(customers: Customers) -> None:
    """fal-mcp-server over MCP: its registry asks `/fal/api`, its tools the queue; an unknown model is an error."""
    good, bad = customers.prompt(), customers.prompt("validation_error")
    image = customers.installation.emulator.sample_image
    calls = [
        ["list_models", {"category": "video", "limit": 100}],
        ["get_pricing", {"models": [KLING]}],
        ["get_pricing", {"models": ["fal-ai/flux/dev"]}],
        ["generate_video_from_image", {"model": KLING, "prompt": good, "image_url": image, "duration": 5}],
        ["generate_video_from_image", {"model": KLING, "prompt": bad, "image_url": image}],
    ]
    async with run_program(customers, "mcp_host.py", calls) as program:
        listed, price, unknown, clip, failed = (await program.ended()).outcome
    assert f"`{KLING}`" in listed
    assert f"{KLING}**: $0.28 per seconds" in price
    assert "HTTP 404" in unknown
    assert f"Video generated with {KLING}: " in clip
    await customers.assert_one_purchase(good, {"video": {"url": clip.rpartition(" ")[2]}})
    assert "Video generated" not in failed
    assert await customers.bought(bad) == (0, 0)


async def test_two_items_of_n8n_are_two_clips(customers: Customers) -> None:
    """As the node of fal asks (it is not on npm): key, form and price at `/fal/api`, then two equal items."""
    prompt = customers.prompt()
    customers.takes.add(prompt)
    base = str(customers.web.base_url).rstrip("/")
    node = {"Authorization": f"Key {customers.key}", "User-Agent": "n8n-nodes-fal/1.0.1"}
    async with httpx.AsyncClient(trust_env=False, verify=customers.certificates.context, headers=node) as web:
        api = f"{base}/fal/api/v1/models"
        assert (await web.get(api, params={"limit": "1"})).status_code == 200
        assert (await web.get(api, headers={"Authorization": "Key fg_live_no"})).status_code == 401
        form = (await web.get(api, params={"endpoint_id": KLING, "expand": "openapi-3.0"})).json()["models"][0]
        schemas = form["openapi"]["components"]["schemas"]
        (given,) = (one for name, one in schemas.items() if name.endswith("Input"))
        assert {"prompt", "image_url", "duration"} <= set(given["x-fal-order-properties"])
        (price,) = (await web.get(f"{api}/pricing", params={"endpoint_id": KLING})).json()["prices"]
        assert (price["unit_price"], price["unit"]) == (0.28, "seconds")
        for _ in range(2):
            item = customers.input(prompt, duration=5)
            queued = (await web.post(f"{base}/fal/queue/{KLING}", json=item)).json()
            status_url = queued["status_url"]

            async def completed(url: str = status_url) -> bool:
                return bool((await web.get(url)).json()["status"] == "COMPLETED")

            await wait_until(completed, "the item is completed", timeout=60)
            assert (await web.get(queued["response_url"])).json()["video"]["url"]
    assert await customers.bought(prompt) == (2, 2)
