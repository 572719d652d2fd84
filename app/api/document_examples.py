"""Example values that can be sent unchanged to `./dev up` or any other installation.

They name no existing job, team or key: the reply is then the documented 404.
"""

from typing import Any

from pydantic import BaseModel

from app.api.admin_bodies import (
    CreditBody,
    KeyBody,
    LimitsBody,
    PauseBody,
    RaiseBody,
    ResolveBody,
    ResumeBody,
    RotateBody,
    TeamBody,
    TeamChange,
    UserBody,
    UserChange,
)
from app.api.admin_invitations import InvitationBody
from app.api.fal.storage import Apps, CompletedParts, File
from app.api.fal.submission import FalInput
from app.api.v1.bodies import JobBody
from app.api.v1.clips import LinkBody
from app.api.v1.deliveries import ReplayBody
from app.api.v1.invitations import CodeBody
from app.api.v1.session import SignInBody
from app.api.v1.shares import ShareBody, WallBody
from app.api.v1.sign_on import BeginBody, ReturnBody
from app.api.v1.tokens import TokenBody
from app.api.v1.webhook_bodies import EndpointBody, EndpointChange, RotationBody

MODEL = "fal-ai/kling-video/v2/master/image-to-video"
# A white PNG of 320 by 320 pixels; a URL works as well.
PICTURE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAUAAAAFAAQAAAADl65gHAAAAQ0lEQVR42u3KsQ0AAAgDoOr/P+sLriYwU5ObjiiKoi"
    "iKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoiiKoii+iwtVvgN/95uEZgAAAABJRU5ErkJggg=="
)
TEAM, USER = "team_01kb3x9d1n5v7q2f8m4c6t0e3r", "user_01kb3x9d1n5v7q2f8m4c6t0e3r"
# Of the right form; they open nothing.
CODE = "fg_code_0000000000000000000000000000000000000000000000000"
INVITATION = "fg_inv_0000000000000000000000000000000000000000000000000"

# By name of the parameter, in paths and queries.
VALUES = {
    "model_id": MODEL,
    "job_id": "job_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "endpoint_id": "ep_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "delivery_id": "msg_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "key_id": "key_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "team_id": TEAM,
    "title": "video.mp4",
    "expires": 1_798_588_800,
    "signature": "3Jk0vV2cN4m8Qw1xYz7AbC",
    "user_id": USER,
    "invitation_id": "inv_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "share_id": "share_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "slug": "not_found",
    "app": "fal-ai/kling-video",
    "request_id": "job_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "upload_id": "up_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "file_id": "up_01kb3x9d1n5v7q2f8m4c6t0e3r",
    "name": "lake.png",
    "number": 1,
    "team": TEAM,
    "limit": 10,
    "url": "https://v3.fal.media/files/lion/lake.png",
}
LIMIT = {"unit": "usd", "window": "day", "amount": "25.00"}
INPUT = {"prompt": "The lake lies still; a boat drifts by.", "image_url": PICTURE, "duration": "5"}
BODIES: dict[type[BaseModel], Any] = {
    JobBody: {
        "model": MODEL,
        "input": INPUT,
        "metadata": {"order": "17"},
        "priority": "normal",
        "deadline": 3600,
        "max_usd": "1.40",
    },
    LinkBody: {"expires_in": 86_400},
    TokenBody: {"expires_in": 600, "max_jobs": 3, "max_usd": "5.00", "models": [MODEL]},
    EndpointBody: {"url": "https://example.com/hooks", "events": ["job.succeeded", "job.failed"]},
    EndpointChange: {"description": "The shop", "paused": False},
    RotationBody: {"overlap_days": 1},
    ReplayBody: {"status": "dead", "limit": 100},
    ShareBody: {"expires_in": 604_800, "prompt": False},
    WallBody: {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "title": "November"},
    TeamBody: {"name": "Studio", "weight": 1, "time_zone": "Europe/Berlin", "limits": [LIMIT]},
    TeamChange: {"weight": 2},
    UserBody: {"team": TEAM, "name": "Ada", "limits": [LIMIT]},
    UserChange: {"name": "Ada L."},
    KeyBody: {"user": USER, "name": "laptop", "scopes": ["jobs:write", "jobs:read"], "expires_in": 2592000},
    InvitationBody: {"user": USER, "key_name": "Ada's laptop", "expires_in": 86_400},
    CodeBody: {"code": INVITATION},
    SignInBody: {"code": CODE},
    BeginBody: {"to": "/jobs"},
    ReturnBody: {"state": "af0ifjsldkj", "code": "SplxlOBeZQQYbYS6WxSbIA"},
    RotateBody: {"overlap": 3600},
    LimitsBody: [LIMIT],
    RaiseBody: {**LIMIT, "amount": "50.00", "expires_in": 3600},
    CreditBody: {"amount_usd": "25.00", "reason": "Paid by invoice 17"},
    PauseBody: {"reason": "The invoice is looked at"},
    ResumeBody: {"reason": "The invoice is paid"},
    ResolveBody: {"action": "resubmit"},
    FalInput: INPUT,
    File: {"file_name": "lake.png", "content_type": "image/png"},
    CompletedParts: {"parts": [{"partNumber": 1, "etag": '"1"'}]},
    Apps: {"allowed_apps": ["fal-ai/kling-video"], "token_expiration": 120},
}
