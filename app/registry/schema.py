"""A model's input: JSON Schema as data, compiled once into a strict validator.

Strict means that nothing is converted: `"0.5"` and `true` are not numbers, `5` is not `"5"`. All violations are
reported at once. An optional field that says nothing is absent (`app/registry/absent.py`). `app/registry/plan.py`
lists the supported keywords.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from app.domain.errors import Unprocessable, Violation
from app.registry.absent import OptionalFields
from app.registry.fields import Location, addresses, formats
from app.registry.lengths import media_kinds
from app.registry.plan import object_plan
from app.registry.sisters import unknown_field
from app.registry.violations import MAX_VIOLATIONS, input_pointer, violations

IMAGE = "image-url"


class InputSchema:
    """The input of one model, and its validation.

    Attributes:
        fields: the names of all fields, in order.
        doubtful_fields: those that only the endpoint's prose documents, or that could not be verified.
        image_fields: those that hold an image's URL or a list of them.
        url_fields: those that hold a URL of an image, video or audio, however deep.
        media_fields: those that hold a URL of a video or audio, however deep.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        """Compiles `spec`; ValueError when it uses an unsupported keyword."""
        properties: Mapping[str, Any] = spec["properties"]
        self._spec = spec
        self.fields = tuple(properties)
        self.doubtful_fields = tuple(name for name in properties if properties[name]["documented"] != "schema")
        self.image_fields = tuple(name for name in properties if _holds_images(properties[name]))
        self.url_fields = tuple(name for name in properties if formats(properties[name]))
        self.media_fields = tuple(name for name in properties if media_kinds(properties[name]))
        self._begins_with_image = not set(self.image_fields).isdisjoint(spec.get("required", ()))
        self._known = frozenset(self.fields)
        self._strictly_known = self._known - frozenset(self.doubtful_fields)
        self._optional = OptionalFields(spec)
        self._either = tuple(option["required"][0] for option in spec.get("oneOf", ()))
        self._adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(Annotated[Any, PlainPlan(object_plan(spec))])

    def check(self, given: Mapping[str, Any], *, strict_schema: bool, private_urls: bool) -> dict[str, Any]:
        """A new dict of the given fields, in the schema's order, with defaults filled in.

        Args:
            given: the input as decoded from JSON.
            strict_schema: refuse the fields that are not in fal's schema as it was read.
            private_urls: allow http and hosts of a private network in URLs.

        Raises:
            Unprocessable: `invalid_input`, with the first 20 violations.
        """
        known = self.known(strict_schema=strict_schema)
        found: list[Violation] = []
        accepted = dict(self._optional.given(given))
        if not accepted.keys() <= known:
            found.extend(self._unknown(accepted, known))
            accepted = {name: value for name, value in accepted.items() if name in known}
        found.extend(self._either_faults(accepted))
        clean: dict[str, Any] = {}
        try:
            clean = self._adapter.validate_python(accepted, context={"private_urls": private_urls})
        except ValidationError as error:
            found.extend(violations(error, self._spec))
        if found:
            raise Unprocessable("The input is not valid.", violations=tuple(found[:MAX_VIOLATIONS]))
        return clean

    def known(self, *, strict_schema: bool) -> frozenset[str]:
        """The names of the model's fields; the doubtful ones count unless `strict_schema`."""
        return self._strictly_known if strict_schema else self._known

    def image_texts(self, given: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
        """Every text where an image belongs, however deep, of an input that is not checked yet."""
        for name in self.url_fields:
            found = addresses(self._spec["properties"][name], given.get(name), (name,), (IMAGE,))
            yield from ((loc, text) for loc, _, text in found)

    def describe(self, *, strict_schema: bool) -> dict[str, Any]:
        """The schema as a JSON Schema object of its own; without the doubtful fields when `strict_schema`."""
        described: dict[str, Any] = copy.deepcopy(dict(self._spec))
        if strict_schema:
            for name in self.doubtful_fields:
                del described["properties"][name]
        return {"type": "object", **described, "additionalProperties": False}

    def _unknown(self, given: Mapping[str, Any], known: frozenset[str]) -> Iterator[Violation]:
        known_in_order = [name for name in self.fields if name in known]
        for name in [name for name in given if name not in known][:MAX_VIOLATIONS]:
            if name in self._known and self._spec["properties"][name]["documented"] == "unverified":
                message = f"{name} is not verified in fal's schema, and the strict schema is on."
            elif name in self._known:
                message = f"{name} is only mentioned in the endpoint's prose, and the strict schema is on."
            else:
                message = unknown_field(name, known_in_order, begins_with_image=self._begins_with_image)
            yield Violation(input_pointer((name,)), "unknown_field", message)

    def _either_faults(self, given: Mapping[str, Any]) -> Iterator[Violation]:
        """Exactly one of these fields must be given."""
        if not self._either:
            return
        present = [name for name in self._either if name in given]
        names = " and ".join(self._either)
        if not present:
            yield Violation(input_pointer(self._either[:1]), "missing", f"One of {names} is required.")
        for name in present[1:]:
            yield Violation(input_pointer((name,)), "exclusive", f"Only one of {names} may be given.")


class PlainPlan:
    """Gives pydantic a plan unchanged."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return self._plan


def _holds_images(field: Mapping[str, Any]) -> bool:
    return IMAGE in (field.get("format"), field.get("items", {}).get("format"))
