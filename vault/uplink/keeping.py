"""Keeps the agent known: let in at first, renewed in time, brought back after a long absence."""

import logging
import math
from collections.abc import Callable
from enum import StrEnum, unique
from typing import Final, Protocol

import trio

from actors import World
from protocols.link.vocabulary import AlertCode, Severity
from protocols.pki.errors import PkiError
from protocols.pki.messages import Pending
from vault.errors import UnavailableError
from vault.uplink.certificate import CAP, due_in, retry_in
from vault.uplink.conversation import heard
from vault.uplink.enrolling import Door, EnrolError
from vault.uplink.identity import Credential

log: Final = logging.getLogger("freehold.uplink")
NEVER: Final = 86_400.0
"""Seconds until an agent that waits for `agent enrol` looks again; enrolling restarts it anyway."""
SHORT: Final = 0.25
"""The share of a certificate's life that is left when its owner is warned."""


@unique
class Standing(StrEnum):
    """How the agent stands with its control plane."""

    UNENROLLED = "unenrolled"
    PENDING = "pending"
    """It asked to join; a person has to approve it."""
    ENROLLED = "enrolled"
    EXPIRED = "expired"
    """Its certificate has expired meanwhile; it comes back by its link key."""


def standing_of(held: Credential | None, now: int) -> Standing:
    """By the certificate alone. `now`: Unix nanoseconds."""
    if held is None:
        return Standing.UNENROLLED
    return Standing.EXPIRED if now >= held.expires else Standing.ENROLLED


class Enrols(Protocol):
    """`enrolling.Enroller`, or a double."""

    async def join(self, door: Door, *, org: str = "", label: str = "") -> Pending | None:
        """See `Enroller`."""
        ...

    async def renew(self, held: Credential) -> None:
        """See `Enroller`."""
        ...


class Keeper:
    """Hands the credential to whoever uses it, and each next one."""

    def __init__(
        self,
        *,
        load: Callable[[], Credential | None],
        enroller: Enrols,
        door: Door | None,
        label: str,
        use: Callable[[Credential], None],
        alert: Callable[[AlertCode, Severity], None],
        world: World,
    ) -> None:
        """`load` blocks. Without a `door` an agent that was never let in waits for a command."""
        self._load = load
        self._enroller = enroller
        self._door = door
        self._label = label
        self._use = use
        self._alert = alert
        self._world = world
        self._asked = trio.Event()
        self._warned = b""
        self._rested = -math.inf  # when time may have it renew again, on the monotonic clock
        self.held: Credential | None = None
        self.fingerprint = ""
        """What the person who approves should see, while pending."""
        self.trouble = ""
        """Why the last request was not granted; empty when it was."""

    @property
    def standing(self) -> Standing:
        """As of now."""
        if self.held is None and self.fingerprint:
            return Standing.PENDING
        return standing_of(self.held, self._world.wall())

    @property
    def expiring(self) -> bool:
        """Whether little is left of the certificate's life, and it could not be renewed."""
        held = self.held
        return held is not None and bool(self.trouble) and self._is_short(held)

    def _is_short(self, held: Credential) -> bool:
        return held.expires - self._world.wall() < (held.expires - held.begins) * SHORT

    def renew_now(self) -> None:
        """Somebody wants a new certificate before it is due."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled. Raises `PkiError` for files that do not fit."""
        await self._take()
        while self.held is None:
            await self._world.sleep(await self._join())
        while True:
            await self._wait_until_due(self.held)
            await self._renew(self.held)

    async def _take(self) -> None:
        self.held = await self._world.run_sync(self._load)
        if self.held is not None:
            self._use(self.held)

    async def _join(self) -> float:
        """Ask once; returns how long to wait before the next time."""
        if self._door is None:
            return NEVER
        try:
            pending = await self._enroller.join(self._door, label=self._label)
        except (EnrolError, PkiError, UnavailableError) as error:
            self._tell(error)
            return retry_in(4, self._world.jitter())
        self.trouble = ""
        if pending is None:
            await self._take()
            return 0.0
        if pending.fingerprint != self.fingerprint:
            self.fingerprint = pending.fingerprint
            log.warning("waiting to be approved; the fingerprint is %s", pending.fingerprint)
        return max(1.0, pending.pause * (0.75 + 0.5 * self._world.jitter()))

    async def _wait_until_due(self, held: Credential) -> None:
        due = due_in(held.begins, held.expires, self._world.jitter(), self._world.wall())
        # By a clock that is hours ahead each new certificate is due at once.
        wait = max(due, self._rested - self._world.monotonic())
        await heard(self._asked, wait)
        self._asked = trio.Event()

    async def _renew(self, held: Credential) -> None:
        """Ask until there is a new certificate, however long that takes."""
        attempt = 0
        while self.held is held:
            try:
                await self._enroller.renew(held)
            except (EnrolError, PkiError, UnavailableError) as error:
                self._tell(error)
                self._warn(held)
                await self._world.sleep(retry_in(attempt, self._world.jitter()))
                attempt += 1
            else:
                self.trouble = ""
                self._rested = self._world.monotonic() + CAP
                await self._take()

    def _warn(self, held: Credential) -> None:
        """Once for each certificate, when little is left of its life."""
        if self._is_short(held) and self._warned != held.fingerprint:
            self._warned = held.fingerprint
            self._alert(AlertCode.CERTIFICATE_EXPIRING, Severity.WARNING)

    def _tell(self, error: Exception) -> None:
        if str(error) != self.trouble:
            self.trouble = str(error)
            log.warning("no certificate from the control plane yet: %s", error)
