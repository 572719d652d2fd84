"""Models from the operator's directory: every fault is one sentence that names its file."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway import load_catalog
from app.registry.catalog import Catalog
from app.registry.files import MAX_BYTES, ModelFilesError, read_directory, read_model
from app.settings import SettingsError, load_settings
from tests.support.repo import ROOT

OURS = ROOT / "app" / "registry" / "models"
NEW = "kling/v9/image-to-video"
DEFAULT = "fal-ai/kling-video/v2/master/image-to-video"
ENTRY: dict[str, Any] = json.loads((OURS / "v3-pro-image-to-video.json").read_text("utf-8")) | {"id": NEW}
Change = Callable[[dict[str, Any]], Any]


def field(name: str, **changes: Any) -> Change:
    """A change of one field of the input; None takes a keyword away."""

    def change(entry: dict[str, Any]) -> None:
        spec = entry["input"]["properties"].setdefault(name, {})
        spec |= {key: value for key, value in changes.items() if value is not None}
        for key in [key for key, value in changes.items() if value is None]:
            spec.pop(key, None)

    return change


def having(**members: Any) -> Change:
    """A change of members; None takes one away."""

    def change(entry: dict[str, Any]) -> None:
        for name, value in members.items():
            if value is None:
                entry.pop(name)
            else:
                entry[name] = value

    return change


def inputs(**members: Any) -> Change:
    """A change of members of the input."""
    return lambda entry: entry["input"].update(members)


def text_of(change: Change) -> str:
    """The file after a change."""
    entry = copy.deepcopy(ENTRY)
    change(entry)
    return json.dumps(entry)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (having(id=None), "id: field required"),
        (having(id="kling"), "id: string should match pattern"),
        (having(id="kling/../v9"), "id: string should match pattern"),
        (having(id="kling/v9?x=1"), "id: string should match pattern"),
        (having(id="kling/v9/requests/x"), "id has a part 'requests'"),
        (having(id="kling/" + "a" * 200), "id has more than 200 characters"),
        (having(kind="image-to-cake"), "kind: input should be"),
        (having(colour="red"), "colour: extra inputs are not permitted"),
        (having(price_date="tomorrow"), "price_date: "),
        (having(price_source=None), "price_source: field required"),
        (having(input=[]), "input must be an object"),
        (having(input={}), "input.properties must be an object with at least one field"),
        (having(output=[]), "output must be a JSON Schema object"),
        (having(output={"properties": {"video": 3}}), "output must be a JSON Schema object"),
        (inputs(anyOf=[]), "input has 'anyOf'"),
        (inputs(required=["nothing"]), "input.required must be a list of the object's own fields"),
        (inputs(required="prompt"), "input.required must be a list"),
        (inputs(oneOf=["prompt"]), "input.oneOf must be a list such as"),
        (inputs(oneOf=[{"required": ["start_image_url"]}]), "input.oneOf must name one field"),
        (field("a-b", type="string"), "input has a field 'a-b'"),
        (field("prompt", type="text"), "input.prompt.type must be one of"),
        (field("prompt", pattern="x"), "input.prompt has 'pattern'"),
        (field("prompt", maxLength="2500"), "input.prompt.maxLength must be a whole number"),
        (field("prompt", documented=None), "prompt must say where it is documented"),
        (field("duration", enum=[3, 4]), "input.duration.enum must be a list of different strings"),
        (field("duration", default="2"), "input.duration.default is not a value that the field takes"),
        (field("duration", enum=None), "duration must"),
        (field("generate_audio", default="true"), "input.generate_audio.default is not a value"),
        (field("cfg_scale", minimum="0"), "input.cfg_scale.minimum must be a number"),
        (field("cfg_scale", minimum=2), "input.cfg_scale.minimum is above its maximum"),
        (field("start_image_url", format="uri"), "input.start_image_url.format must be one of"),
        (field("elements", maxItems=None), "input.elements.maxItems must say"),
        (field("elements", minItems=11), "input.elements.minItems is above"),
        (field("elements", items=None), "input.elements[].type must be one of"),
        (field("elements", items={"type": "object"}), "input.elements[].properties must be an object"),
        (having(price="0.112"), "price: input should be a valid dictionary"),
        (having(price={"per_second_usd": 0.112}), "price: per_second_usd must be a string of dollars"),
        (having(price={"per_minute_usd": "1"}), "price: "),
        (having(price={"variants": [{"when": {"sound": True}, "per_second_usd": "1"}]}), "price: "),
        (
            having(price={"variants": [{"when": {"prompt": {"minItems": 1}}, "per_second_usd": "1"},
                                       {"per_second_usd": "2"}]}),
            "price: the condition on prompt must be a value",
        ),
        (
            having(price={"variants": [{"when": {"elements": True}, "per_second_usd": "1"},
                                       {"per_second_usd": "2"}]}),
            "price: the condition on elements must be minItems or contains",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_a_sentence_that_names_the_member(change: Change, said: str) -> None:
    """One fault gives one sentence, without a full stop and without what the file holds."""
    entry, faults = read_model(text_of(change))
    assert entry is None
    assert len(faults) == 1, faults
    assert said in faults[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is not JSON"),
        ("[]", "the file must hold a JSON object"),
        ("{" + '"id": "a/b", "id": "a/c"}', "'id' is given twice"),
        ('{"id": NaN}', "the file is not JSON"),
        ("[" * 100_000, "the file is not JSON"),
    ],
)
def test_what_is_no_json_object_is_said(text: str, said: str) -> None:
    """Also what Python's parser would take."""
    assert read_model(text) == (None, [said])


def test_all_faults_of_a_file_are_said_at_once() -> None:
    """One look is enough to mend a file."""
    broken = {
        **ENTRY,
        "kind": "cake",
        "price_source": 3,
        "input": {"properties": {"a": {"type": "x"}}, "required": []},
    }
    _, faults = read_model(json.dumps(broken))
    assert [fault.partition(":")[0].partition(" ")[0] for fault in faults] == [
        "input.a.type",
        "kind",
        "price_source",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["string", "array", "5", "a"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(ENTRY["input"])), inner, max_size=2)
    ),
    max_leaves=4,
)
PATHS = [
    ("input",), ("input", "properties"), ("input", "required"), ("input", "oneOf"),
    ("output",), ("output", "properties"),
    *[("input", "properties", "elements", key) for key in ("type", "items", "maxItems", "minItems", "documented")],
    *[("input", "properties", "duration", key) for key in ("enum", "default", "type", "description")],
    *[("input", "properties", "cfg_scale", key) for key in ("minimum", "maximum", "default")],
    ("price",), ("price", "variants"), ("price", "variants", 0, "when"),
    ("price", "variants", 0, "when", "generate_audio"),
    *[(key,) for key in sorted(ENTRY)],
]  # fmt: skip


@given(st.sampled_from(PATHS), JSON)
def test_no_value_anywhere_raises(path: tuple[str | int, ...], value: Any) -> None:
    """Either it is a model, or there are sentences."""
    entry = copy.deepcopy(ENTRY)
    place: Any = entry
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    found, faults = read_model(json.dumps(entry))
    assert (found is None) == bool(faults)


def test_our_own_files_are_in_the_form() -> None:
    """The check of the operator's files takes all of ours."""
    assert {entry.id for entry in read_directory(OURS)} == {model.id for model in Catalog.load()}


def test_a_directory_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """Faults of several files are said together; other files in it are not looked at."""
    (tmp_path / "README.md").write_text("not JSON")
    (tmp_path / ".hidden.json").write_text("not JSON")
    (tmp_path / "a.json").write_text(json.dumps(ENTRY))
    assert [entry.id for entry in read_directory(tmp_path)] == [NEW]
    (tmp_path / "b.json").write_text(json.dumps(ENTRY))
    (tmp_path / "c.json").write_bytes(b"\xff")
    (tmp_path / "d.json").write_bytes(b" " * (MAX_BYTES + 1))
    (tmp_path / "e.json").mkdir()
    with pytest.raises(ModelFilesError) as refused:
        read_directory(tmp_path)
    assert refused.value.sentences == [
        "c.json: the file is not UTF-8.",
        "d.json: the file has more than 1,000,000 bytes.",
        "e.json: the file cannot be read (Is a directory).",
        f"b.json: a.json has the id {NEW} too.",
    ]


def test_a_gateway_refuses_to_start_with_every_fault_in_the_message(tmp_path: Path) -> None:
    """A SettingsError, which is exit code 78; a directory that is missing is one too."""
    (tmp_path / "a.json").write_text(text_of(having(price_source=None)))
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(
        SettingsError, match=r"^FILMGATE_MODELS: a\.json: price_source: field required\."
    ) as refused:
        load_catalog(load_settings({"FILMGATE_MODELS": str(tmp_path)}))
    assert "\nFILMGATE_MODELS: b.json: " in str(refused.value)
    with pytest.raises(SettingsError, match="the directory cannot be read"):
        load_catalog(load_settings({"FILMGATE_MODELS": str(tmp_path / "none")}))


def test_a_file_adds_a_model_or_replaces_one(tmp_path: Path) -> None:
    """By its id; prices of the operator's apply to it too, and the default stays one model."""
    mine = {**ENTRY, "id": DEFAULT, "title": "Mine"}
    (tmp_path / "new.json").write_text(json.dumps(ENTRY))
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    files = read_directory(tmp_path)
    catalog = Catalog.load({NEW: {"per_second_usd": "0.50"}}, files)
    assert len(catalog) == len(Catalog.load()) + 1
    assert catalog.get(DEFAULT).entry.title == "Mine"
    assert catalog.default.id == DEFAULT
    assert catalog.get(NEW).price({"duration": "5"}).micro == 2_500_000
    (tmp_path / "new.json").write_text(json.dumps(ENTRY | {"default": True}))
    assert Catalog.load(files=read_directory(tmp_path)).default.id == NEW
    assert Catalog.load().default.id == DEFAULT
    (tmp_path / "mine.json").write_text(json.dumps(mine | {"default": True}))
    with pytest.raises(ModelFilesError, match=r"new\.json: mine\.json is the default too"):
        read_directory(tmp_path)
