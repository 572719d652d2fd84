"""The lines of the README and the guides, as they are written there: only addresses, keys and inputs are put in."""

import asyncio
import json
import re
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from tests.e2e.clients.customers import Customers, running
from tests.support.node import find_node, install_packages
from tests.support.processes import free_port
from tests.support.repo import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
IMPORTS = """
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { createFalClient } from "@fal-ai/client";
"""
# A server that serves the route as Next does, and fal's client, which has no key and knows this server only.
PAGE_BEHIND_A_ROUTE = """
const server = createServer(async (asked, reply) => {
  const { method, headers } = asked;
  const body = method === "GET" ? undefined : Readable.toWeb(asked);
  const served = await route[method](new Request("http://page.test/", { method, headers, body, duplex: "half" }));
  reply.writeHead(served.status, Object.fromEntries(served.headers));
  reply.end(Buffer.from(await served.arrayBuffer()));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${server.address().port}/api/fal/proxy`;
const fal = createFalClient({ credentials: () => undefined, proxyUrl: { url, when: "always" } });
const model = "fal-ai/kling-video/v2/master/image-to-video";
const picture = await (await fetch(image_url)).blob();
const { data } = await fal.subscribe(model, { input: { prompt, image_url: picture }, pollInterval: 100 });
const refusal = await fal.run(model, { input: { prompt } }).catch((error) => [error.status, error.message]);
console.log(JSON.stringify({ clip: data.video.url, refusal }));
server.close();
"""


def block(page: str, language: str, *, with_: str) -> str:
    """The one code block of a page in this language that has this text."""
    found = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (only,) = [code for code in found if with_ in code]
    return str(only)


def listens(port: int) -> bool:
    """True when a connection is accepted."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


async def prints(customers: Customers, code: str) -> str:
    """What JavaScript prints in Node, where fal's client is installed."""
    environment = {"NODE_EXTRA_CA_CERTS": str(customers.certificates.authority)}
    argv = (str(find_node().path), "--input-type=module", "-e", code)
    async with running(*argv, environment=environment, cwd=await install_packages()) as program:
        ended = await program.ended()
    assert ended.code == 0, ended.errors
    return ended.output.strip()


def with_input(customers: Customers, prompt: str, code: str) -> str:
    """JavaScript with an address of this installation, its key, and the names that the page leaves open."""
    given = json.dumps(prompt), json.dumps(customers.installation.emulator.sample_image)
    address = f"https://127.0.0.1:{customers.installation.serve.port}"
    code = code.replace("http://127.0.0.1:8000", address).replace("https://videos.example.com", address)
    return f"const prompt = {given[0]}, image_url = {given[1]};\n{code.replace('fg_live_…', customers.key)}"


async def test_the_readmes_javascript_buys_one_clip(customers: Customers) -> None:
    """Four lines with fal's client."""
    prompt = customers.prompt()
    code = with_input(customers, prompt, block("README.md", "js", with_="fal.subscribe"))
    assert "import" in code
    await customers.assert_one_purchase(prompt, {"video": {"url": await prints(customers, code)}})


async def test_the_readmes_python_buys_one_clip(customers: Customers, tmp_path: Path) -> None:
    """Four lines with fal's client, and the variables that the README names."""
    prompt, script = customers.prompt(), tmp_path / "readme.py"
    given = f"prompt, image_url = {prompt!r}, {customers.installation.emulator.sample_image!r}\n"
    code = given + block("README.md", "python", with_="fal_client")
    await asyncio.to_thread(script.write_text, code, "utf-8")
    async with customers.python(script) as program:
        ended = await program.ended()
    assert ended.code == 0, ended.errors
    await customers.assert_one_purchase(prompt, {"video": {"url": ended.output.strip()}})


async def test_the_guides_route_serves_a_page_of_fals_client(customers: Customers) -> None:
    """In place of fal's server proxy: an upload and one clip, and a refusal with its own status and sentence."""
    prompt, route = customers.prompt(), block("docs/browser-app.md", "js", with_="forward as GET")
    route = re.sub(r"export \{.*", "const route = { GET: forward, POST: forward, PUT: forward };", route)
    key = f"process.env.FAL_KEY = {json.dumps(customers.key)};\n"
    code = IMPORTS + key + with_input(customers, prompt, route) + PAGE_BEHIND_A_ROUTE
    ended = json.loads(await prints(customers, code))
    await customers.assert_one_purchase(prompt, {"video": {"url": ended["clip"]}})
    assert ended["refusal"] == [422, "The input is not valid. image_url is required."]


async def test_the_guides_call_from_a_page_buys_one_clip(customers: Customers) -> None:
    """Without a library, with a browser token as the guide makes it."""
    prompt = customers.prompt()
    line = block("docs/browser-app.md", "", with_="/v1/tokens")
    body = json.loads(line[line.index("{") : line.rindex("}") + 1])
    del body["origin"]  # Node sends none
    token = (await customers.web.post("/v1/tokens", json=body)).json()["token"]
    code = with_input(customers, prompt, block("docs/browser-app.md", "js", with_="Prefer"))
    printed = await prints(
        customers, f"const token = {json.dumps(token)};\n{code}\nconsole.log(job.output.video.url);"
    )
    await customers.assert_one_purchase(prompt, {"video": {"url": printed}})


async def test_the_guides_consumer_takes_each_message_once(tmp_path: Path) -> None:
    """It answers 204 to a signed message and to a test, prints each once, and refuses a forged one."""
    port, script = free_port(), tmp_path / "consumer.py"
    code = block("docs/webhook-consumer.md", "python", with_="serve_forever")
    code = code.replace("whsec_…", SECRET).replace("3000", str(port))
    await asyncio.to_thread(script.write_text, code, "utf-8")
    body = json.dumps({"type": "job.succeeded", "data": {"id": "job_1"}})
    now = datetime.fromtimestamp(time.time(), UTC)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = Webhook(SECRET).sign("msg_1", now, body)
    test = json.dumps({"type": "endpoint.test", "data": {"endpoint": "ep_1", "url": "https://h/"}})
    signed = {"webhook-id": "msg_2", "webhook-signature": Webhook(SECRET).sign("msg_2", now, test)}
    async with (
        running(sys.executable, str(script), environment={"PYTHONUNBUFFERED": "1"}) as program,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as web,
    ):
        await wait_until(lambda: listens(port), "the consumer listens")
        answers = [(await web.post("/hook", content=body, headers=headers)).status_code for _ in range(2)]
        forged = await web.post("/hook", content=body.replace("job_1", "job_2"), headers=headers)
        assert (answers, forged.status_code) == ([204, 204], 401)
        assert (await web.post("/hook", content=test, headers=headers | signed)).status_code == 204
        program.process.terminate()
        assert (await program.ended()).output == "job.succeeded job_1\nendpoint.test None\n"
