"""The model's answer to an input that does not fit: pydantic's findings in fal's words."""

from typing import TYPE_CHECKING, Any

from app.emulator.replies import ERROR_PAGES, Reply, faults_reply

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from app.emulator.kling.models import KlingModel
    from app.emulator.kling.parts import Input

OTHER_NAMES = {"too_short": "sequence_too_short", "too_long": "sequence_too_long", "model_type": "dict_type"}

Finding = dict[str, Any]


class InputRefused(Exception):
    """The input does not fit; `reply` is the model's 422."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


def read_input(model: "KlingModel", payload: Any, *, strict: bool) -> "Input":
    """The checked input; unknown fields are an error only when `strict`. Raises InputRefused."""
    from pydantic import ValidationError  # noqa: PLC0415  loaded with the first input, as the models are

    entries: list[Finding] = []
    given = None
    try:
        given = model.input.model_validate(payload)
    except ValidationError as error:
        entries = [_entry(finding) for finding in error.errors()]
    if strict and isinstance(payload, dict):
        for name in sorted(set(payload) - set(model.input.model_fields)):
            message = "Extra inputs are not permitted"
            entries.append(_finding("extra_forbidden", message, (name,), payload[name], {}))
    if given is None or entries:
        raise InputRefused(faults_reply(422, entries))
    return given


def _entry(error: "ErrorDetails") -> Finding:
    kind = OTHER_NAMES.get(error["type"], error["type"])
    return _finding(kind, error["msg"], error["loc"], error["input"], error.get("ctx", {}))


def _finding(kind: str, message: str, where: tuple[int | str, ...], value: Any, context: dict[str, Any]) -> Finding:
    return {
        "loc": ["body", *where],
        "msg": message,
        "type": kind,
        "url": ERROR_PAGES + kind,
        "ctx": context,
        "input": value,
    }
