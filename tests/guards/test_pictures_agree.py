"""The pictures of docs/pictures show words and colours that the page still has."""

import pytest
from PIL import Image

from tests.e2e.clients.page_views import COMMAND, FOLDER, SCALE, SIZE, VIEWS, colours, noted, scripts
from tests.support.repo import ROOT

SCHEMES = ("light", "dark")
MOST_BYTES = 150_000
NAMES = sorted(f"{name}-{scheme}.webp" for name in VIEWS for scheme in SCHEMES)


def test_each_view_has_its_two_pictures_and_there_are_no_others() -> None:
    """Light and dark, all of one size, none of them large."""
    assert sorted(path.name for path in FOLDER.glob("*.webp")) == NAMES
    for name in NAMES:
        with Image.open(FOLDER / name) as picture:
            assert picture.size == (SIZE["width"] * SCALE, SIZE["height"] * SCALE), name
        assert (FOLDER / name).stat().st_size < MOST_BYTES, name


def test_every_picture_is_on_a_page() -> None:
    """The README's, or one of the documentation."""
    text = "".join(page.read_text("utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    assert [name for name in NAMES if f"pictures/{name}" not in text] == []


@pytest.mark.parametrize("name", VIEWS)
def test_every_word_of_a_picture_is_still_in_its_view(name: str) -> None:
    """A word that was changed or taken away makes the picture a lie."""
    gone = [word for word in noted()[name]["words"] if word not in scripts(name)]
    assert gone == [], f"{name} shows words that are gone; {COMMAND} takes the pictures anew"


def test_the_pictures_have_todays_colours() -> None:
    """And sizes, and fonts: all that is in tokens.css."""
    assert noted()["tokens.css"] == colours(), f"tokens.css has changed; {COMMAND} takes the pictures anew"
