"""The input rules of the emulated Kling models, as far as they change a response."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.emulator.replies import ERROR_PAGES, Reply, faults_reply

PROMPT_LIMIT = 2500
SHORT_DURATIONS = ("5", "10")
LONG_DURATIONS = tuple(str(seconds) for seconds in range(3, 16))
LONGEST_DURATIONS = tuple(str(seconds) for seconds in range(3, 31))
RATIOS = ("16:9", "9:16", "1:1")

Finding = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """The input of one endpoint: the field of the first frame (empty for text to video), durations, extras."""

    image_field: str
    durations: tuple[str, ...] = SHORT_DURATIONS
    several_prompts: bool = False
    extra: frozenset[str] = frozenset()

    @property
    def fields(self) -> frozenset[str]:
        """All fields of the endpoint."""
        fields = {"prompt", "duration", "negative_prompt", "cfg_scale", self.image_field}
        several = {"multi_prompt", "shot_type"} if self.several_prompts else set()
        return frozenset(fields | several | self.extra) - {""}


MASK_FIELDS = frozenset({"tail_image_url", "static_mask_url", "dynamic_masks"})
NEWER_FIELDS = frozenset({"end_image_url", "generate_audio", "voice_ids", "elements"})


def rules_for(endpoint: str) -> Rules | None:
    """The rules of a Kling image-to-video or text-to-video endpoint; None for any other one."""
    family = endpoint.removeprefix("fal-ai/kling-video/").removeprefix("kling/")
    generation, kind = family.split("/")[0], endpoint.rsplit("/", 1)[-1]
    if kind == "text-to-video":
        image_field, extra = "", frozenset({"aspect_ratio", "generate_audio", "camera_control"})
    elif kind == "image-to-video":
        image_field, extra = _image_field(family, generation), _extras(generation, family)
    else:
        return None
    several = generation in {"v3", "o3", "v4"}
    durations = {"v3": LONG_DURATIONS, "o3": LONG_DURATIONS, "v4": LONGEST_DURATIONS, "o1": LONG_DURATIONS[:8]}.get(
        generation, SHORT_DURATIONS
    )
    return Rules(image_field, durations, several, extra)


def _image_field(family: str, generation: str) -> str:
    newer = generation in {"v2.6", "v3", "v4", "o1"} and not family.startswith("v3/turbo")
    return "start_image_url" if newer else "image_url"


def _extras(generation: str, family: str) -> frozenset[str]:
    if generation in {"v2.6", "v3", "v4", "o1", "o3"}:
        return NEWER_FIELDS
    if generation in {"v1", "v1.5"}:
        return MASK_FIELDS | {"aspect_ratio"}
    if "/pro/" in family:
        return frozenset({"tail_image_url", "aspect_ratio"})
    return frozenset()


def image_source(endpoint: str, payload: Any) -> str | None:
    """The URL or data URI of the first frame; None without one."""
    if not isinstance(payload, dict):
        return None
    rules = rules_for(endpoint)
    field = rules.image_field if rules else "image_url"
    source = payload.get(field) if field else None
    return source if isinstance(source, str) else None


def refusal_of(endpoint: str, payload: Any, *, strict: bool) -> Reply | None:
    """The model's 422 for this input; None for a valid one, or an unknown endpoint."""
    if not isinstance(payload, dict):
        return faults_reply(422, [_entry("dict_type", "Input should be a valid dictionary", "", payload)])
    rules = rules_for(endpoint)
    if rules is None:
        return None
    entries = [entry for check in CHECKS if (entry := check(rules, payload)) is not None]
    if strict:
        unknown = sorted(set(payload) - rules.fields)
        entries += [_entry("extra_forbidden", "Extra inputs are not permitted", n, payload[n]) for n in unknown]
    return faults_reply(422, entries) if entries else None


def _prompt(rules: Rules, payload: dict[str, Any]) -> Finding | None:
    if rules.several_prompts and payload.get("multi_prompt"):
        return None
    prompt = payload.get("prompt")
    if prompt is None:
        return _missing("prompt", payload)
    if not isinstance(prompt, str):
        return _entry("string_type", "Input should be a valid string", "prompt", prompt)
    if len(prompt) > PROMPT_LIMIT:
        sentence = f"String should have at most {PROMPT_LIMIT} characters"
        return _entry("string_too_long", sentence, "prompt", prompt, {"max_length": PROMPT_LIMIT})
    return None


def _image(rules: Rules, payload: dict[str, Any]) -> Finding | None:
    if not rules.image_field:
        return None
    source = payload.get(rules.image_field)
    if source is None:
        return _missing(rules.image_field, payload)
    if not isinstance(source, str):
        return _entry("string_type", "Input should be a valid string", rules.image_field, source)
    return None


def _duration(rules: Rules, payload: dict[str, Any]) -> Finding | None:
    return _one_of("duration", rules.durations, payload)


def _aspect_ratio(rules: Rules, payload: dict[str, Any]) -> Finding | None:
    return _one_of("aspect_ratio", RATIOS, payload) if "aspect_ratio" in rules.extra else None


def _cfg_scale(_rules: Rules, payload: dict[str, Any]) -> Finding | None:
    scale = payload.get("cfg_scale", 0.5)
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        return _entry("float_type", "Input should be a valid number", "cfg_scale", scale)
    if scale < 0:
        sentence = "Input should be greater than or equal to 0"
        return _entry("greater_than_equal", sentence, "cfg_scale", scale, {"ge": 0})
    if scale > 1:
        return _entry("less_than_equal", "Input should be less than or equal to 1", "cfg_scale", scale, {"le": 1})
    return None


def _negative_prompt(_rules: Rules, payload: dict[str, Any]) -> Finding | None:
    text = payload.get("negative_prompt", "")
    if isinstance(text, str):
        return None
    return _entry("string_type", "Input should be a valid string", "negative_prompt", text)


CHECKS: tuple[Callable[[Rules, dict[str, Any]], Finding | None], ...] = (
    _prompt,
    _image,
    _duration,
    _aspect_ratio,
    _cfg_scale,
    _negative_prompt,
)


def _one_of(field: str, allowed: tuple[str, ...], payload: dict[str, Any]) -> Finding | None:
    if field not in payload or payload[field] in allowed:
        return None
    quoted = [f"'{value}'" for value in allowed]
    sentence = f"Input should be {', '.join(quoted[:-1])} or {quoted[-1]}"
    return _entry("one_of", sentence, field, payload[field], {"expected": list(allowed)})


def _missing(field: str, payload: Any) -> Finding:
    return _entry("missing", "Field required", field, payload)


def _entry(kind: str, sentence: str, field: str, value: Any, context: dict[str, Any] | None = None) -> Finding:
    return {
        "loc": ["body", field] if field else ["body"],
        "msg": sentence,
        "type": kind,
        "url": ERROR_PAGES + kind,
        "ctx": context or {},
        "input": value,
    }
