"""The peer of the rows "admission" and "status": a minimal FastAPI application.

It takes the same bodies with equally strict checks, and returns as many bytes, or the same JSON. No key, no price,
no store, no log line: what is left is the cost of FastAPI itself.
`python -m benchmarks.bare PORT`
"""

import secrets
import sys
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

STRICT = ConfigDict(strict=True, extra="forbid")
ImageUrl = Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s/?#@]+")]


class Input(BaseModel):
    """The input of fal-ai/kling-video/v2/master/image-to-video, as in app/registry/models."""

    model_config = STRICT

    prompt: str = Field(min_length=1, max_length=2500)
    image_url: ImageUrl
    duration: Literal["5", "10"] = "5"
    negative_prompt: str = Field("blur, distort, and low quality", max_length=2500)
    cfg_scale: float = Field(0.5, ge=0, le=1)
    aspect_ratio: Literal["16:9", "9:16", "1:1"] | None = None
    static_mask_url: ImageUrl | None = None
    dynamic_mask_url: ImageUrl | None = None
    special_fx: str | None = Field(None, min_length=1, max_length=64)
    input_image_urls: list[ImageUrl] | None = Field(None, min_length=1, max_length=4)


class Submission(BaseModel):
    """The body of `POST /v1/jobs`."""

    model_config = STRICT

    model: str | None = None
    input: Input
    webhook_url: str | None = Field(None, max_length=2048)
    metadata: dict[str, str] = Field(default_factory=dict, max_length=8)
    priority: Literal["high", "normal", "low"] = "normal"
    deadline: int | None = Field(None, ge=10, le=604_800)
    start_deadline: int | None = Field(None, ge=1, le=604_800)
    max_usd: str | None = None


app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


@app.post("/v1/jobs", status_code=202)
async def submit(body: Submission) -> JSONResponse:
    """202 with as many members and bytes as Filmgate's reply."""
    job_id = f"job_{secrets.token_hex(16)}"
    url = f"http://127.0.0.1:8000/v1/jobs/{job_id}"
    reply: dict[str, Any] = {
        "id": job_id,
        "status": "queued",
        "model": "fal-ai/kling-video/v2/master/image-to-video",
        "input": body.input.model_dump(exclude_none=True),
        "output": None,
        "error": None,
        "quoted_usd": "1.40",
        "charged_usd": None,
        "queue_position": 0,
        "logs": [],
        "metadata": body.metadata,
        "priority": body.priority,
        "user": "user_00000000000000000000000000000000",
        "created_at": "2026-11-22T12:00:00.000Z",
        "submitted_at": None,
        "completed_at": None,
        "deadline_at": "2026-11-22T13:00:00.000Z",
        "cancel_requested_at": None,
        "held_reason": None,
        "repeated": False,
        "expires_at": None,
        "urls": {"self": url, "cancel": f"{url}/cancel", "events": f"{url}/events"},
    }
    return JSONResponse(reply, 202, headers={"Location": url, "Cache-Control": "no-store"})


@app.post("/fal/queue/{model:path}", status_code=200)
async def queue(model: str, body: Input) -> JSONResponse:
    """The same for a submission as fal's clients send it."""
    del body
    job_id = f"job_{secrets.token_hex(16)}"
    url = f"http://127.0.0.1:8000/fal/queue/{model}/requests/{job_id}"
    reply: dict[str, Any] = {
        "status": "IN_QUEUE",
        "request_id": job_id,
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
        "queue_position": 0,
        "logs": None,
        "metrics": {},
    }
    return JSONResponse(reply, 200, headers={"x-fal-request-id": job_id, "Cache-Control": "no-store"})


replies: dict[str, Any] = {}  # of `GET /v1/jobs/{id}`, by the job's id
statuses: dict[str, Any] = {}  # of fal's polls


@app.put("/v1/jobs/{job_id}")
async def keep_job(job_id: str, body: dict[str, Any]) -> None:
    """Return this from now on for that job."""
    replies[job_id] = body


@app.put("/fal/queue/{model:path}/requests/{job_id}/status")
async def keep_status(model: str, job_id: str, body: dict[str, Any]) -> None:
    """The same for fal's polls."""
    del model
    statuses[job_id] = body


@app.get("/v1/jobs/{job_id}")
async def job(job_id: str) -> JSONResponse:
    """The JSON that is kept for this job."""
    return JSONResponse(replies[job_id], headers={"Cache-Control": "no-store"})


@app.get("/fal/queue/{model:path}/requests/{job_id}/status")
async def status(model: str, job_id: str) -> JSONResponse:
    """The same for a poll as fal's clients send it."""
    del model
    return JSONResponse(statuses[job_id], 202, headers={"Cache-Control": "no-store"})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
    )
