"""The input rules of the emulated Kling models, as far as they change a response."""

from collections.abc import Iterator
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
    entries = list(_findings(rules, payload))
    if strict:
        unknown = sorted(set(payload) - rules.fields)
        entries += [_entry("extra_forbidden", "Extra inputs are not permitted", n, payload[n]) for n in unknown]
    return faults_reply(422, entries) if entries else None


def _findings(rules: Rules, payload: dict[str, Any]) -> Iterator[Finding]:
    if not (rules.several_prompts and payload.get("multi_prompt")):
        yield from _string("prompt", payload, required=True)
        yield from _prompt_length(payload.get("prompt"))
    if rules.image_field:
        yield from _string(rules.image_field, payload, required=True)
    yield from _one_of("duration", rules.durations, payload)
    if "aspect_ratio" in rules.extra:
        yield from _one_of("aspect_ratio", RATIOS, payload)
    yield from _cfg_scale(payload.get("cfg_scale", 0.5))
    yield from _string("negative_prompt", {"negative_prompt": "", **payload}, required=False)


def _string(field: str, payload: dict[str, Any], *, required: bool) -> Iterator[Finding]:
    value = payload.get(field)
    if value is None and required:
        yield _entry("missing", "Field required", field, payload)
    elif not isinstance(value, str):
        yield _entry("string_type", "Input should be a valid string", field, value)


def _prompt_length(prompt: Any) -> Iterator[Finding]:
    if isinstance(prompt, str) and len(prompt) > PROMPT_LIMIT:
        sentence = f"String should have at most {PROMPT_LIMIT} characters"
        yield _entry("string_too_long", sentence, "prompt", prompt, {"max_length": PROMPT_LIMIT})


def _cfg_scale(scale: Any) -> Iterator[Finding]:
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        yield _entry("float_type", "Input should be a valid number", "cfg_scale", scale)
    elif scale < 0:
        sentence = "Input should be greater than or equal to 0"
        yield _entry("greater_than_equal", sentence, "cfg_scale", scale, {"ge": 0})
    elif scale > 1:
        yield _entry("less_than_equal", "Input should be less than or equal to 1", "cfg_scale", scale, {"le": 1})


def _one_of(field: str, allowed: tuple[str, ...], payload: dict[str, Any]) -> Iterator[Finding]:
    if field in payload and payload[field] not in allowed:
        quoted = [f"'{value}'" for value in allowed]
        sentence = f"Input should be {', '.join(quoted[:-1])} or {quoted[-1]}"
        yield _entry("one_of", sentence, field, payload[field], {"expected": list(allowed)})


def _entry(kind: str, sentence: str, field: str, value: Any, context: dict[str, Any] | None = None) -> Finding:
    return {
        "loc": ["body", field] if field else ["body"],
        "msg": sentence,
        "type": kind,
        "url": ERROR_PAGES + kind,
        "ctx": context or {},
        "input": value,
    }
