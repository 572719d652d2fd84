"""Alarms about sums of money that differ from the ledger's entries."""

import time

from app.domain.limits import GATEWAY
from app.services.checks.finding import Finding
from app.store.ledger_check import LedgerChecks

GATEWAY_S = 300.0  # between two comparisons of the gateway's sums with those of all teams


class LedgerCheck:
    """Compares a page of one team's ledger each time, one team after the other."""

    def __init__(self, ledger: LedgerChecks) -> None:
        self.kinds = frozenset({"ledger_differs"})
        self.every_s = 5.0
        self._ledger = ledger
        self._waiting: list[str] = []  # teams of this round
        self._gateway_at = 0.0

    async def findings(self) -> list[Finding]:
        """One step, and everything that was found to differ and was not found right since."""
        if not self._waiting:
            self._waiting = await self._ledger.teams()
        if self._waiting and await self._ledger.step(self._waiting[0]):
            del self._waiting[0]
        if time.monotonic() >= self._gateway_at:
            self._gateway_at = time.monotonic() + GATEWAY_S
            await self._ledger.compare_gateway()
        return [_finding(owner, sentence) for owner, sentence in (await self._ledger.faults()).items()]


def _finding(owner: str, sentence: str) -> Finding:
    whose = (
        "The gateway's sums differ from those of all teams" if owner == GATEWAY else f"The sums of {owner} differ"
    )
    return Finding("ledger_differs", f"{whose}: {sentence}. `filmgate ledger verify` lists all.", about=owner)
