"""Looks at what only fal's admin key shows, its bill and its history: when the next one is due in this process."""

import time
from collections.abc import Awaitable, Callable

import structlog

from app.domain.errors import StoreUnavailable
from app.fal.errors import NotShown
from app.gateway import Gateway

EVERY_S = 15.0
AWAY_S = 60.0  # between two looks while fal gives no usable answer

log = structlog.get_logger()


class Looks:
    """Paces the looks of one step, and warns once when fal does not answer them.

    `look` answers NotShown, or something false when fal had not to be asked. `topic` begins the names of what is
    logged; `remedy` is what an operator can do while fal shows nothing.
    """

    def __init__(
        self,
        gateway: Gateway,
        look: Callable[[Gateway], Awaitable[object]],
        *,
        step: str,
        topic: str,
        remedy: str,
    ) -> None:
        self._gateway = gateway
        self._look = look
        self._step = step
        self._topic = topic
        self._remedy = remedy
        self._next = 0.0
        self._away = False

    def is_due(self) -> bool:
        """True when it is time to look, and the operator gave a key that may."""
        return self._gateway.settings.fal_admin_key is not None and time.monotonic() >= self._next

    async def look(self) -> None:
        """One look; whatever goes wrong, the jobs come due again and the lane goes on."""
        self._next = time.monotonic() + EVERY_S
        try:
            answer = await self._look(self._gateway)
            if isinstance(answer, NotShown):
                self._warn_once(answer.reason)
                return
            if not answer or await self._gateway.stores.due.any(self._step):
                self._next = 0.0  # fal was not asked, or there is more than one look's worth: in the next slice
            if answer:
                self._away = False
        except StoreUnavailable:
            log.warning(self._event("store_away"))
        except Exception:
            log.exception(self._event("failed"))

    def _warn_once(self, reason: str) -> None:
        self._next = time.monotonic() + AWAY_S
        if not self._away:
            log.warning(self._event("away"), reason=reason, remedy=self._remedy)
        self._away = True

    def _event(self, what: str) -> str:
        return f"{self._topic}.{what}"
