"""What makes two submissions the same request."""

from dataclasses import replace

from app.domain.jobs import Priority, Submission
from app.media.data_uris import EmbeddedImage
from app.registry.fields import Location
from app.services.submissions import fingerprint_of

INPUT = {"prompt": "a lake", "image_url": "https://example.com/a.png"}
GIVEN = Submission(model="model", input={})
EVERYTHING = Submission(
    model="model",
    input={},
    webhook_url="https://example.com/hook",
    metadata={"order": "7", "shop": "x"},
    priority=Priority.HIGH,
    deadline_s=600,
    start_deadline_s=60,
    max_usd_micro=1_400_000,
)
IMAGE: dict[Location, EmbeddedImage] = {("image_url",): EmbeddedImage(b"", "0123")}


def test_the_same_request_has_the_fingerprint_that_older_versions_gave_it() -> None:
    """An idempotency key is kept for a week, across an upgrade too."""
    assert fingerprint_of(GIVEN, INPUT, {}) == "df1036564d811fea14c3ea04d70c417b16fd9feaa51d2a7152a19477dbefb169"
    assert (
        fingerprint_of(EVERYTHING, INPUT, {}) == "5c8f2d2db3d389a4df14065f88e43ba59063afb016633dc57c3eaaf1238fc14d"
    )
    assert (
        fingerprint_of(replace(GIVEN, start_deadline_s=60.0), INPUT, IMAGE)
        == "f2e3eb4d068d0ef4969c8892b8cb6cd7fc8ffba3bd0c3f71f582c097b038a87d"
    )
