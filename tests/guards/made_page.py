"""A page of the documentation with a part that is made from the program; the text around it stays."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support.repo import ROOT

DOCS = ROOT / "docs"
END = "<!-- end -->\n"


class Page(NamedTuple):
    """A page by its name, what its mark says about its part, and what makes that."""

    name: str
    mark: str
    make: Callable[[], str]

    @property
    def path(self) -> Path:
        """Where it is."""
        return DOCS / self.name

    def written(self) -> str:
        """The page with the part of today."""
        begin = f"<!-- {self.mark} -->\n"
        before, _, rest = self.path.read_text("utf-8").partition(begin)
        return f"{before}{begin}\n{self.make()}\n{END}{rest.partition(END)[2]}"

    def write(self) -> None:
        """Write it so."""
        self.path.write_text(self.written(), encoding="utf-8")
