"""Watches the certificate that this API process shows: takes a renewed one, and raises an alarm before its end."""

import time
from datetime import datetime
from socket import gethostname
from typing import TYPE_CHECKING

from app.domain.times import iso
from app.store.alarms import AlarmStore

if TYPE_CHECKING:
    from app.certificate import ServedCertificate

EVERY_S = 60.0
DAY_S = 86_400
REMEDY = "renew it, then send SIGHUP to `filmgate serve`, or wait a minute"


class CertificateWatch:
    """To be checked about every second; it works once a minute, and again at once after an outage of the store."""

    def __init__(self, certificate: "ServedCertificate", alarms: AlarmStore) -> None:
        self._certificate = certificate
        self._alarms = alarms
        self._next = 0.0
        self._fine: datetime | None = None  # the end of the certificate that was found to last

    async def check(self) -> None:
        """Read the certificate again if its files were replaced; an alarm while its end is near.

        Hosts may show different ones for a while. So the alarm is resolved once for each certificate that lasts,
        and not as long as it is shown: hosts that lag behind would raise it again and again.
        """
        if time.monotonic() < self._next:
            return
        self._certificate.reload_if_changed()
        name = next(iter(self._certificate.names), "the API")
        left_s = self._certificate.ends.timestamp() - time.time()
        if time.time() >= self._certificate.warns_at.timestamp():
            sentence = self._sentence(name, left_s)
            await self._alarms.raise_alarm("certificate_expires", sentence, about=name, level=int(left_s <= 0))
            self._fine = None
        elif self._fine != self._certificate.ends:
            sentence = f"The certificate of {name} that {gethostname()} shows lasts until {self._until()}."
            await self._alarms.resolve_alarm("certificate_expires", sentence, about=name)
            self._fine = self._certificate.ends
        self._next = time.monotonic() + EVERY_S

    def _sentence(self, name: str, left_s: float) -> str:
        until = self._until()
        how = f"ends in {left_s / DAY_S:.1f} days, at {until}" if left_s > 0 else f"has ended, at {until}"
        refused = self._certificate.refused
        why = f" The files were replaced, and cannot be used: {refused}" if refused else ""
        return f"The certificate of {name}, shown by {gethostname()}, {how}: {REMEDY}.{why}"

    def _until(self) -> str:
        return iso(int(self._certificate.ends.timestamp()) * 1000)
