"""What a person does at the page, counted."""

import time
from dataclasses import dataclass, field

from playwright.async_api import Locator


@dataclass
class Steps:
    """Presses and texts of one task, and its time. A file that is chosen or dropped is a press."""

    presses: int = 0
    texts: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def taken(self) -> int:
        """Both together."""
        return self.presses + self.texts

    @property
    def seconds(self) -> float:
        """From its begin to its end, or until now."""
        return (self.ended or time.monotonic()) - self.began

    def end(self) -> None:
        """It is done."""
        self.ended = time.monotonic()

    async def press(self, what: Locator) -> None:
        """One press."""
        await what.click()
        self.presses += 1

    async def type(self, what: Locator, text: str) -> None:
        """One text, typed or pasted."""
        await what.fill(text)
        self.texts += 1

    def tell(self, what: str) -> None:
        """Print how much it took."""
        print(f"{what}: {self.taken} steps, {self.seconds:.1f} s")  # noqa: T201  the figure
