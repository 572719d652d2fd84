"""fal's answers are parsed in one place, and made harmless there."""

import re

from tests.support.repo import ROOT, python_files

READERS = re.compile(r"json\.loads?\(|from_json\(|JSONDecoder|\.json\(\)")


def test_fals_json_is_read_in_one_place() -> None:
    """Neither code that calls fal nor a worker parses JSON itself: `app.fal.protocol.parse_json` does."""
    own = {
        path.as_posix()
        for path in python_files()
        if path.parts[:2] == ("app", "fal") or path.parts[0] == "workers"
        if READERS.search((ROOT / path).read_text("utf-8"))
    }
    assert own == set()
