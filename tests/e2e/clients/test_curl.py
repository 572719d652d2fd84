"""fal's documented curl lines, with nothing changed but the model, where fal's host names lead to Filmgate."""

import json
import shutil
from collections.abc import Mapping

import pytest

from tests.e2e.clients.customers import FAL_NAMES, KLING, Customers, running
from tests.support.name_proxy import NameProxy

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the lines need curl"),
]

APP = "fal-ai/kling-video"
# `-d` without a content type declares a form.
SUBMIT = f"""curl -X POST https://queue.fal.run/{KLING} \\
  -H "Authorization: Key $FAL_KEY" \\
  -d "$INPUT"
"""
RUN = f"""curl -X POST https://fal.run/{KLING} \\
  -H "Authorization: Key $FAL_KEY" \\
  -d "$INPUT"
"""
STATUS = f"""curl -X GET https://queue.fal.run/{APP}/requests/$REQUEST_ID/status?logs=1 \\
  -H "Authorization: Key $FAL_KEY"
"""
STREAM = f"""curl -X GET https://queue.fal.run/{APP}/requests/$REQUEST_ID/status/stream \\
  -H "Authorization: Key $FAL_KEY"
"""
RESULT = f"""curl -X GET https://queue.fal.run/{APP}/requests/$REQUEST_ID \\
  -H "Authorization: Key $FAL_KEY"
"""
CANCEL = f"""curl -X PUT https://queue.fal.run/{APP}/requests/$REQUEST_ID/cancel \\
  -H "Authorization: Key $FAL_KEY"
"""


class Shell:
    """A shell with a customer's key, in which fal's host names lead to the gateway."""

    def __init__(self, customers: Customers, proxy: NameProxy) -> None:
        self._environment = {
            "FAL_KEY": customers.key,
            "CURL_CA_BUNDLE": str(customers.certificates.authority),
            "HTTPS_PROXY": proxy.url,
        }

    async def output(self, line: str, variables: Mapping[str, str]) -> str:
        """What a line prints; curl must have had an answer."""
        async with running("sh", "-c", line, environment={**self._environment, **variables}) as program:
            ended = await program.ended()
        assert ended.code == 0, ended.errors
        return ended.output


async def test_fals_curl_lines_buy_follow_and_fetch_a_clip(customers: Customers) -> None:
    """Submit, stream, status, result, and the synchronous call: one charge each, and URLs of fal's hosts."""
    prompt, second = customers.prompt(), customers.prompt()
    async with NameProxy(customers.installation.serve.port, FAL_NAMES) as proxy:
        shell = Shell(customers, proxy)
        submitted = json.loads(await shell.output(SUBMIT, {"INPUT": json.dumps(customers.input(prompt))}))
        request = {"REQUEST_ID": submitted["request_id"]}
        assert submitted["status_url"] == f"https://queue.fal.run/{APP}/requests/{request['REQUEST_ID']}/status"
        frames = (await shell.output(STREAM, request)).split("\n\n")
        assert json.loads(frames[-2].removeprefix("data: "))["status"] == "COMPLETED"
        status = json.loads(await shell.output(STATUS, request))
        assert (status["status"], bool(status["logs"])) == ("COMPLETED", True)
        await customers.assert_one_purchase(prompt, json.loads(await shell.output(RESULT, request)))
        ran = json.loads(await shell.output(RUN, {"INPUT": json.dumps(customers.input(second))}))
        await customers.assert_one_purchase(second, ran)
        assert proxy.asked == {"queue.fal.run", "fal.run"}


async def test_fals_curl_lines_refuse_and_cancel(customers: Customers) -> None:
    """A wrong input is 422 in fal's shape at once, and what was cancelled before it was bought costs nothing."""
    prompt = customers.prompt()
    async with NameProxy(customers.installation.serve.port, FAL_NAMES) as proxy, customers.leisure():
        shell = Shell(customers, proxy)
        wrong = customers.input(customers.prompt(), duration="5s")
        refused = json.loads(await shell.output(SUBMIT, {"INPUT": json.dumps(wrong)}))
        assert refused["detail"][0]["loc"] == ["body", "duration"]
        assert refused["detail"][0]["msg"].endswith('Write "5".')
        submitted = json.loads(await shell.output(SUBMIT, {"INPUT": json.dumps(customers.input(prompt))}))
        request = {"REQUEST_ID": submitted["request_id"]}
        assert json.loads(await shell.output(CANCEL, request)) == {"status": "CANCELLATION_REQUESTED"}
        assert json.loads(await shell.output(STATUS, request))["status"] == "COMPLETED"
    assert await customers.bought(prompt) == (0, 0)
