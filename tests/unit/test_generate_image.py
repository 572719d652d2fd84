"""Where `filmgate generate --image` puts the picture in a model's input."""

from typing import Any

import pytest

from app.cli.exits import Failure
from app.cli.generate.image import image_field
from app.cli.generate.inputs import InputBuilder
from app.registry.catalog import Catalog

CATALOG = Catalog.load()


def test_every_model_with_a_field_for_a_picture_takes_one() -> None:
    """Also where none is required, as for effects, references and edits; a required one comes first."""
    for model in CATALOG:
        described: dict[str, Any] = {"id": model.id, "input": model.schema.describe(strict_schema=False)}
        fields = model.schema.image_fields
        if not fields:
            with pytest.raises(Failure, match="takes no image"):
                image_field(described)
            continue
        name, order = image_field(described), InputBuilder(described)
        order.put(name, "https://example.com/picture.jpg")
        required = [field for field in fields if field in described["input"]["required"]]
        assert name in (required or fields), model.id
        assert isinstance(order.fields[name], list) == ("items" in described["input"]["properties"][name]), model.id
