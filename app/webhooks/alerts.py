"""The body of a message about an alarm: as Standard Webhooks have it, or as Slack's incoming webhooks read it."""

import json
from typing import Any

from app.domain.alarms import KINDS, severity_of
from app.domain.alerts import AlertForm, AlertMessage
from app.domain.times import iso

SLACK_CHARACTERS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
MOST_CHARACTERS = 3000  # of a message in Slack's form; Slack cuts at 40,000


def alert_body(message: AlertMessage, form: AlertForm, *, gateway: str, now_ms: int) -> bytes:
    """The body, UTF-8. `gateway` is the base URL of the installation, `now_ms` the time of the message."""
    content = _slack(message, gateway) if form == "slack" else _standard(message, gateway, now_ms)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _standard(message: AlertMessage, gateway: str, now_ms: int) -> dict[str, Any]:
    alarm, row = message.alarm, KINDS.get(message.alarm.kind)
    resolved = message.event == "alarm.resolved"
    return {
        "type": message.event,
        "timestamp": iso(now_ms),
        "data": {
            "kind": alarm.kind,
            "severity": severity_of(alarm.kind),
            "title": row.title if row else alarm.kind,
            "message": alarm.message,
            "about": alarm.about or None,
            "job": alarm.job or None,
            "upstream_request_id": alarm.upstream_request_id or None,
            "raised_at": iso(message.raised_ms),
            "resolved_at": iso(alarm.at_ms) if resolved else None,
            "ends": (row.ends or None) if row else None,
            "runbook": row.runbook if row else None,
            "gateway": gateway,
        },
    }


def _slack(message: AlertMessage, gateway: str) -> dict[str, Any]:
    """`text` is what every receiver of this form shows: Slack, Mattermost, Rocket.Chat, Discord with `/slack`."""
    alarm, row = message.alarm, KINDS.get(message.alarm.kind)
    word = {
        "alarm.raised": severity_of(alarm.kind),
        "alarm.repeated": f"still active, {severity_of(alarm.kind)}",
        "alarm.resolved": "resolved",
        "alarm.test": "test",
    }[message.event]
    lines = [f"*[{word}] {_escaped(row.title if row else alarm.kind)}*", _escaped(alarm.message)]
    if alarm.job:
        lines.append(f"job `{_escaped(alarm.job)}`")
    since = f"raised {iso(message.raised_ms)}"
    if message.event == "alarm.resolved":
        since += f", over {iso(alarm.at_ms)}"
    where = [gateway, f"`{alarm.kind}`", since, *([row.runbook] if row else [])]
    lines.append(" · ".join(map(_escaped, where)))
    return {"text": "\n".join(lines)[:MOST_CHARACTERS]}


def _escaped(text: str) -> str:
    """Slack's three escapes: a sentence can neither mention `@here` nor make a link."""
    return "".join(SLACK_CHARACTERS.get(one, one) for one in text)
