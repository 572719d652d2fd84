"""The API reference in a browser: "Try it out" sends each route's own example, and the answer is as documented."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from playwright.async_api import Page, Response

from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers, picture
from tests.e2e.clients.visitors import trusting
from tests.support.stack import ADMIN_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]  # every route, with --full

SHORT_FORM = {"submit_job", "read_job", "list_jobs", "mint_token", "upload_file", "replace_limits", "livez"}
SESSION = "/v1/session"
USE_KEY = """key => fetch("/v1/session", {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({key}),
})"""


async def try_out(page: Page, name: str, operation: dict[str, Any], image: Path) -> tuple[int, str, bytes]:
    """Fill in only a file, press the buttons; the answer's status, type and body. `name`: `METHOD path`."""
    block = page.locator(f"#operations-{operation['tags'][0]}-{operation['operationId']}")
    method, _, path = name.partition(" ")

    def is_ours(answer: Response) -> bool:
        """Not that of the page's own look at the session, which it makes before a call that changes something."""
        if answer.request.method != method:
            return False
        return path == SESSION or not answer.url.endswith(SESSION)

    await block.locator(".opblock-summary-control").click()
    await block.locator(".try-out__btn").click()
    if "multipart/form-data" in operation.get("requestBody", {}).get("content", {}):
        await block.locator("input[type=file]").set_input_files(image)
    async with page.expect_response(is_ours) as coming:
        await block.locator(".execute").click()
    answer = await coming.value
    await block.locator(".live-responses-table").wait_for()
    body = await answer.body() if answer.status not in {204, 307} else b""
    await block.locator(".opblock-summary-control").click()
    return answer.status, answer.headers.get("content-type", "").partition(";")[0], body


def fault(document: dict[str, Any], operation: dict[str, Any], status: int, kind: str, body: bytes) -> str | None:
    """How the answer differs from the document; None when it does not."""
    reply = operation["responses"].get(str(status))
    if reply is None:
        return f"{status} {body[:200]!r}"
    if "$ref" in reply:
        reply = document["components"]["responses"][reply["$ref"].rpartition("/")[2]]
    if not body:
        return None
    if kind not in reply.get("content", {}):
        return f"{status} is of the type {kind}"
    schema = {**reply["content"][kind]["schema"], "components": document["components"]}
    wrong = next(OAS31Validator(schema).iter_errors(json.loads(body)), None)
    return None if wrong is None else f"{status}: {wrong.message}"


async def test_an_example_is_answered_as_documented(customers: Customers, tmp_path: Path, *, full: bool) -> None:
    """With a user's key, and the administrator's where it is required; in the short form, for a few routes."""
    image = tmp_path / "picture.jpg"
    await asyncio.to_thread(image.write_bytes, picture())
    document = (await customers.web.get("/openapi.json")).json()
    faults: dict[str, str] = {}
    done: set[str] = set()
    try:
        async with new_page(trusting(customers)) as page:
            await page.goto(f"{customers.installation.serve.url}/docs")
            signed_in = ""
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    if not full and operation["operationId"] not in SHORT_FORM:
                        continue
                    key = ADMIN_KEY if "/admin/" in path else customers.key
                    if key != signed_in or full:  # some examples end the session
                        await page.evaluate(USE_KEY, key)
                        signed_in = key
                    status, kind, body = await try_out(page, f"{method.upper()} {path}", operation, image)
                    if found := fault(document, operation, status, kind, body):
                        faults[f"{method} {path}"] = found
                    if status < 300:
                        done.add(operation["operationId"])
    finally:
        admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
        await customers.web.put("/v1/admin/limits", json=[], headers=admin)
        await customers.web.post("/v1/admin/resume", json={}, headers=admin)
    assert faults == {}
    assert done >= SHORT_FORM - {"read_job"}  # the example's id does not exist
