"""fal's OpenAPI documents in the registry's form: what is kept, what is left out, and nothing that raises."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from app.fal.platform import retry_after
from app.registry.offered import read_openapi

ID = "kling/v9/image-to-video"
REF = "#/components/schemas/"


def document(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A document with this input, and further schemas."""
    body = {"content": {"application/json": {"schema": {"$ref": f"{REF}In"}}}}
    reply = {"content": {"application/json": {"schema": {"$ref": f"{REF}Out"}}}}
    video = {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}
    return {
        "components": {
            "schemas": {
                "In": {"type": "object", "properties": properties, "required": ["image_url"]},
                "Out": {"type": "object", "properties": {"video": {"$ref": f"{REF}File"}}, "required": ["video"]},
                "File": video,
                **more,
            }
        },
        "paths": {
            f"/{ID}": {"post": {"requestBody": body}},
            f"/{ID}/requests/{{request_id}}": {"get": {"responses": {"200": reply}}},
        },
    }


def test_references_nulls_lists_and_limits_are_read() -> None:
    """As fal's generator writes them; the strictest limit of a kind of file counts."""
    offered = read_openapi(
        document(
            {
                "image_url": {
                    "type": "string",
                    "description": "Max file size: 30.0MB, Min width: 300px, Timeout: 20.0s",
                },
                "end_image_url": {
                    "anyOf": [{"type": "string"}, {"type": "null"}],
                    "description": "Max file size: 10.0MB, Min aspect ratio: 0.40",
                },
                "duration": {"type": "string", "enum": ["5", "10"], "default": "5"},
                "steps": {"type": "integer", "enum": [2, 3, 4], "default": 3},
                "shots": {"anyOf": [{"type": "array", "items": {"$ref": f"{REF}Shot"}}, {"type": "null"}]},
                "size": {"$ref": f"{REF}Size"},
                "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "self": {"$ref": f"{REF}Self"},
                "odd name": {"type": "string"},
                "voice_url": {"type": "string", "default": None},
            },
            Shot={"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
            Size={"type": "string", "enum": ["720p", "1080p"]},
            Self={"$ref": f"{REF}Self"},
        ),
        ID,
    )
    assert offered is not None
    fields = offered.fields
    assert offered.required == ["image_url"]
    assert fields["image_url"]["format"] == fields["end_image_url"]["format"] == "image-url"
    assert fields["voice_url"] == {"type": "string", "format": "audio-url"}
    assert fields["duration"] == {"type": "string", "enum": ["5", "10"], "default": "5"}
    assert fields["steps"] == {"type": "integer", "minimum": 2, "maximum": 4, "default": 3}
    assert fields["shots"]["items"]["required"] == ["prompt"]
    assert fields["size"]["enum"] == ["720p", "1080p"]
    assert fields.keys().isdisjoint({"either", "self", "odd name"})
    assert len(offered.notes) == 3
    assert offered.limits["image"] == {"max file size": 10.0, "min width": 300.0, "min aspect ratio": 0.4}
    assert offered.output["properties"]["video"]["properties"].keys() == {"url"}


def test_a_document_of_another_endpoint_is_not_read() -> None:
    """Nor one without an input."""
    assert read_openapi(document({}), "kling/v8/image-to-video") is None
    assert read_openapi({}, ID) is None


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["string", "integer", "object", "array", "a", f"{REF}In"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "enum", "anyOf", "$ref", "items", "properties", "default", "required", "maxItems"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANY, ANY)
@example({}, {"properties": {"type": {}}, "required": True})
@example({"type": "integer", "enum": True}, None)
def test_no_document_raises(field: Any, spec: Any) -> None:
    """Whatever fal, or something between, answers."""
    read_openapi(document({"image_url": field, "other": spec}, Out=spec, File=field), ID)
    read_openapi({"components": {"schemas": {"In": spec}}, "paths": field}, ID)
    read_openapi(spec, ID)


def test_a_wait_is_seconds_or_a_date() -> None:
    """A date that has passed is no wait; anything else is not one."""
    assert retry_after("7") == 7
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (retry_after("Fri, 31 Dec 2999 23:59:59 GMT") or 0) > 1e9
    assert retry_after("Wed, 21 Oct 2015 07:28:00 -0000") == 0
    assert retry_after("Fri, 31 Dec 2999 23:59:59 +99999999999999") is None
    assert [retry_after(text) for text in (None, "", "soon", "-1", "1" * 40)] == [None] * 5
