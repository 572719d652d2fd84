"""A customer's program with a client made by openapi-python-client: mypy checks it strictly."""

import json
import os

import httpx
from filmgate_client import AuthenticatedClient
from filmgate_client.api.jobs import list_jobs, submit_job
from filmgate_client.models.clip_view import ClipView
from filmgate_client.models.job_body import JobBody
from filmgate_client.models.job_body_input import JobBodyInput
from filmgate_client.models.job_page import JobPage
from filmgate_client.models.job_view import JobView
from filmgate_client.models.output_view import OutputView
from filmgate_client.models.problem import Problem


def body(prompt: str, max_usd: str) -> JobBody:
    """A submission."""
    given = JobBodyInput.from_dict({"prompt": prompt, "image_url": os.environ["IMAGE"]})
    return JobBody(input_=given, max_usd=max_usd)


def main() -> None:
    """A clip by waiting, a submission that is refused, and a page of the list."""
    prompt = os.environ["PROMPT"]
    client = AuthenticatedClient(
        base_url=os.environ["GATEWAY"], token=os.environ["FILMGATE_KEY"], timeout=httpx.Timeout(60)
    )
    made = submit_job.sync(client=client, body=body(prompt, "1.40"), idempotency_key=prompt, prefer="wait=50")
    assert isinstance(made, JobView), made
    assert isinstance(made.output, OutputView), made
    assert isinstance(made.output.video, ClipView), made
    refused = submit_job.sync(client=client, body=body("too dear", "0.01"))
    assert isinstance(refused, Problem), refused
    page = list_jobs.sync(client=client, limit=1)
    assert isinstance(page, JobPage), page
    outcome = {
        "status": made.status.value,
        "clip": made.output.video.url,
        "year": made.created_at.year,
        "code": refused.code,
        "listed": [job.id == made.id for job in page.data],
    }
    print(json.dumps({"outcome": outcome}))  # noqa: T201  what it tells the test


main()
