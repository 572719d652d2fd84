"""The page's own lists are those of the program behind it."""

import re

from app.domain.endpoints import DEFAULT_EVENTS
from app.domain.events import EVENT_TYPES
from app.domain.remedies import JOB_ERRORS
from app.services.uploads import FILE_LIMIT, MEDIA_LIMIT
from app.web.routes import ADDRESSES, FILES

PARAMETER = re.compile(r"\{\w+\}|:\w+")  # `/jobs/{job_id}` in a route, `/jobs/:id` in a view


def test_every_error_of_a_job_has_words_on_the_page() -> None:
    """A new code says what it means and what to do next, and no words are left of an old one."""
    words = re.search(
        r"const ERRORS = \{\n(.*?)^\};", FILES["core/why.js"].content.decode(), re.DOTALL | re.MULTILINE
    )
    assert words is not None
    assert set(re.findall(r"^  (\w+): \{", words[1], re.MULTILINE)) == JOB_ERRORS.keys()


def test_every_type_of_event_can_be_chosen_on_the_page() -> None:
    """With words for each, and the usual ones marked as the API chooses them."""
    listed = re.findall(r'\{ name: "([\w.]+)"(.*?)\}', FILES["views/webhooks/words.js"].content.decode())
    assert {name for name, _ in listed} == set(EVENT_TYPES)
    assert {name for name, rest in listed if "usual: true" in rest} == set(DEFAULT_EVENTS)


def test_every_address_of_a_view_is_served() -> None:
    """A reload of a view finds the page with the view's scripts, and no route leads to a view that is not there."""
    entries = re.findall(
        r"\bpaths: \[(.*?)\].*?import\(\"\./(.*?)\"\)", FILES["views.js"].content.decode(), re.DOTALL
    )
    shown = {
        PARAMETER.sub("*", path): script for paths, script in entries for path in re.findall(r'"(.*?)"', paths)
    }
    assert shown == {PARAMETER.sub("*", address): script for address, script in ADDRESSES.items()}


def test_the_page_refuses_the_files_that_the_gateway_would_refuse() -> None:
    """A picture, video or sound that is too large is not sent at all."""
    found = re.search(r"const MOST = \{(.*?)\};", FILES["views/playground/media.js"].content.decode())
    assert found is not None
    assert dict(re.findall(r"(\w+): (\d+) \* MB", found[1])) == {
        "image": str(FILE_LIMIT // 2**20),
        "video": str(MEDIA_LIMIT // 2**20),
        "audio": str(MEDIA_LIMIT // 2**20),
    }
