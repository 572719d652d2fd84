"""How a model's file differs from what fal offers, and drafts of files that follow fal.

fal's schemas leave much to prose, and our files say more than they do: a limit of length or of items that only we
have is no difference. Different is what would make a request fail, cost another amount or miss a field.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from app.domain.counting import first_of
from app.registry.lengths import media_kinds
from app.registry.model_file import Kind, ModelFile
from app.registry.offered import MEGABYTE, Offered

Json = dict[str, Any]
SHOTS = ("prompt", "multi_prompt")  # where both are there and none is required, exactly one is
_VERSION = re.compile(r"(?:v|o)([0-9]+(?:\.[0-9]+)?)(-turbo)?", re.ASCII)
_BOUNDS = ("minimum", "maximum")
_TIGHTER = ("maxLength", "maxItems")  # fal's limit where ours is looser
UNVERSIONED = "unversioned"
_SHOWN = 12  # choices in a sentence


def differences(entry: ModelFile, offered: Offered) -> list[str]:
    """What differs in the input, a line each: `+` only at fal, `-` only here, `~` both."""
    ours, theirs = entry.input["properties"], offered.fields
    lines = list(_object_lines("", ours, theirs))
    either = {name for option in entry.input.get("oneOf", ()) for name in option["required"]}
    needed, known = set(offered.required), set(entry.input.get("required", ())) | either
    lines += [f"~ {name}: fal requires it" for name in theirs if name in needed - known and name in ours]
    optional = set(entry.input.get("required", ())) - needed
    lines += [f"~ {name}: fal does not require it" for name in ours if name in optional and name in theirs]
    members, made = entry.output.get("properties", {}), offered.output.get("properties", {})
    lines += [f"+ output {name}" for name in made if name not in members]
    lines += [f"- output {name}" for name in members if name not in made]
    return lines


def _object_lines(path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for name, field in theirs.items():
        if name not in ours:
            yield f"+ {path}{name}: {_described(field)}"
        else:
            yield from _field_lines(f"{path}{name}", ours[name], field)
    for name, field in ours.items():
        if name not in theirs and field.get("documented", "schema") == "schema":
            yield f"- {path}{name}: {_described(field)}"


def _field_lines(place: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """Differences of one field."""
    if ours.get("documented", "schema") != "schema":
        yield f"~ {place}: is in fal's schema; here it is marked {ours['documented']}"
    if ours["type"] != theirs["type"]:
        yield f"~ {place}: {_described(ours)} → {_described(theirs)}"
        return
    if set(ours.get("enum", ())) != set(theirs.get("enum", ())):
        yield f"~ {place}: {_choices(ours)} → {_choices(theirs)}"
    mine, default = ours.get("default", ours.get("assumed")), theirs.get("default")
    if mine != default and ours["type"] != "array" and not (mine == "" and default is None):
        yield f"~ {place}: default {_value(mine)} → {_value(default)}"
    for bound in _BOUNDS:
        if bound in theirs and ours.get(bound) != theirs[bound]:
            yield f"~ {place}: {bound} {_value(ours.get(bound))} → {_value(theirs[bound])}"
    if theirs.get("maxLength", 0) and ours.get("maxLength", 0) > theirs["maxLength"]:
        yield f"~ {place}: maxLength {ours['maxLength']} → {theirs['maxLength']}"
    if "items" in theirs:
        yield from _field_lines(f"{place}[]", ours["items"], theirs["items"])
    elif "properties" in theirs:
        yield from _object_lines(f"{place}.", ours["properties"], theirs["properties"])


def draft_of_new(model_id: str, title: str, category: str, offered: Offered, *, source: str, day: str) -> Json:
    """A file for a model that the registry does not have, without a price."""
    family, version, tier = _names(model_id)
    draft: Json = {
        "id": model_id,
        "title": title,
        "kind": _kind(model_id, category, offered.output),
        "family": family,
        "version": version,
        **({} if version.replace(".", "", 1).isdecimal() else {"generation": _generation(version)}),
        "tier": tier,
        "input": _input(offered),
        "output": offered.output,
        **_lengths(offered),
        "price": None,
        "price_source": source,
        "price_date": day,
        "schema_source": source,
        **_limits(offered),
    }
    return draft


def draft_of_known(entry: ModelFile, offered: Offered) -> Json:
    """The file of a known model with fal's fields; what only we say of a field stays."""
    draft: Json = entry.model_dump(mode="json", exclude_unset=True)
    ours = entry.input["properties"]
    fields = {name: _merged(ours.get(name), field, top=True) for name, field in offered.fields.items()}
    fields |= {
        name: field for name, field in ours.items() if name not in fields and field["documented"] != "schema"
    }
    either = [option for option in entry.input.get("oneOf", ()) if set(option["required"]) <= fields.keys()]
    draft["input"] = {"properties": fields, "required": offered.required}
    if len(either) > 1:
        draft["input"]["oneOf"] = either
    return {**draft, "output": offered.output if "properties" in offered.output else entry.output}


def _merged(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any], *, top: bool) -> Json:
    """A field of fal's with what only our file says of it."""
    if ours is None or ours["type"] != theirs["type"]:
        return {**theirs, **({"documented": "schema"} if top else {})}
    merged: Json = {**ours, **{name: theirs[name] for name in ("enum", *_BOUNDS) if name in theirs}}
    for name in ("default", "assumed"):
        merged.pop(name, None)
    if "enum" not in theirs:
        merged.pop("enum", None)
    if "default" in theirs:
        merged["default"] = theirs["default"]
    for name in _TIGHTER:
        if name in theirs and merged.get(name, 0) > theirs[name]:
            merged[name] = theirs[name]
    if "items" in theirs:
        merged["items"] = _merged(ours["items"], theirs["items"], top=False)
    if "properties" in theirs:
        inner = ours["properties"]
        merged["properties"] = {
            name: _merged(inner.get(name), one, top=False) for name, one in theirs["properties"].items()
        }
        merged["required"] = theirs.get("required", [])
    if "documented" in merged:
        merged["documented"] = "schema"
    return merged


def _input(offered: Offered) -> Json:
    fields = {name: {**field, "documented": "schema"} for name, field in offered.fields.items()}
    for name in offered.required:
        if fields[name]["type"] == "string" and not {"enum", "format"} & fields[name].keys():
            fields[name]["minLength"] = 1
    spec: Json = {"properties": fields, "required": offered.required}
    if set(SHOTS) <= fields.keys() and not set(SHOTS) & set(offered.required):
        spec["oneOf"] = [{"required": [name]} for name in SHOTS]
    return spec


def bound_price(draft: Json) -> str | None:
    """Name the fields whose videos, or else audio, a price by input seconds counts; None, or why it cannot be used.

    Without a longest file the price of a job has no upper bound, so the draft is left without a price.
    """
    price = draft.get("price") or {}
    if all(row.get("of", "output") == "output" for row in price.get("variants", [price])):
        return None
    fields = draft["input"]["properties"]
    kind = next((kind for kind in ("video", "audio") if _holding(kind, fields)), "video")
    if f"{kind}_limits" not in draft:
        draft["price"] = None
        return f"fal's schema does not say how long a {kind} may be, so that the price has no upper bound"
    draft["seconds"] = {**draft.get("seconds", {}), "input": _holding(kind, fields)}
    return None


def _holding(kind: str, fields: Mapping[str, Any]) -> list[str]:
    return [name for name, field in fields.items() if kind in media_kinds(field)]


def _lengths(offered: Offered) -> Json:
    """Which fields decide the length: the duration, and where it may be left out the first video or sound."""
    duration = offered.fields.get("duration", {})
    if "default" in duration:
        return {}
    media = [
        name
        for kind in ("video", "audio")
        for name in _holding(kind, offered.fields)
        if "max duration" in offered.limits.get(kind, {}) and "format" in offered.fields[name]
    ]
    return {"seconds": {"output": [*(["duration"] if duration else []), *media[:1]]}}


def _limits(offered: Offered) -> Json:
    """The limits of files that fal's descriptions state, in the registry's form."""
    found: Json = {}
    names = {
        "min_aspect_ratio": "min aspect ratio",
        "max_aspect_ratio": "max aspect ratio",
    }
    for kind, limits in offered.limits.items():
        values: Json = {ours: limits[theirs] for ours, theirs in names.items() if theirs in limits}
        if "max file size" in limits:
            values["max_bytes"] = int(limits["max file size"] * MEGABYTE)
        sides = [limits[name] for name in ("min width", "min height") if name in limits]
        if sides:
            values["min_side_px"] = int(max(sides))
        if kind != "image":
            if "max duration" not in limits:
                continue  # the form needs it
            values |= {"max_seconds": limits["max duration"], "min_seconds": limits.get("min duration", 0)}
            most = [limits[name] for name in ("max width", "max height") if name in limits]
            values |= {"max_side_px": int(min(most))} if most else {}
            values |= {
                f"{bound}_fps": limits[f"{bound} fps"] for bound in ("min", "max") if f"{bound} fps" in limits
            }
        if values:
            found[f"{kind}_limits"] = values
    return found


def _names(model_id: str) -> tuple[str, str, str]:
    """Family, version and tier by the parts of the id: `kling/v4/flash/image-to-video` is 4, flash."""
    parts = model_id.split("/")
    number = next((index for index, part in enumerate(parts) if index and _VERSION.fullmatch(part)), None)
    family = "kling-video" if parts[0] == "kling" else parts[1]
    if number is None:
        return family, UNVERSIONED, " ".join(parts[2:-1])
    version = parts[number] if parts[number].startswith("o") else parts[number].removeprefix("v").replace("-", " ")
    return family, version, " ".join(parts[number + 1 : -1])


def _generation(version: str) -> float:
    """A number to order by: that in the version, or 0."""
    found = re.search(r"[0-9]+(?:\.[0-9]+)?", version)
    return float(found[0]) if found else 0.0


def _kind(model_id: str, category: str, output: Mapping[str, Any]) -> str:
    """The last part of the id where it is a kind, else fal's category in the registry's word for it."""
    kinds: tuple[str, ...] = get_args(Kind)
    last = model_id.rpartition("/")[2]
    if last in kinds:
        return last
    if "voice_id" in output.get("properties", {}):
        return "audio-to-voice"
    return "text-to-audio" if category == "text-to-speech" else category


def _described(field: Mapping[str, Any]) -> str:
    return _choices(field) + (f", default {_value(field['default'])}" if "default" in field else "")


def _choices(field: Mapping[str, Any]) -> str:
    """The choices of a field, or its type."""
    choices = field.get("enum")
    if not choices:
        return str(field.get("format", field["type"]))
    return first_of(choices, _SHOWN)


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case _:
            return str(value)[:100]
