"""Keeps the agent known: let in at first, renewed in time, brought back after a long absence."""

import logging
import math
from collections.abc import Callable
from enum import StrEnum, unique
from typing import Final, Protocol

import trio

from actors import World
from protocols.instant import SECOND
from protocols.link.vocabulary import AlertCode, Severity
from protocols.pki.errors import PkiError
from protocols.pki.messages import Pending
from protocols.pki.profile import renewal_time
from vault.control_link.connection import wait_event
from vault.control_link.enrol_client import EnrolError, EnrolTarget
from vault.control_link.identity import AgentCredential
from vault.errors import UnavailableError

log: Final = logging.getLogger("freehold.uplink")
IDLE_WAIT: Final = 86_400.0
"""Seconds until an agent that waits for `agent enrol` looks again; enrolling restarts it anyway."""
WARNING_SHARE: Final = 0.25
"""The share of a certificate's life that is left when its owner is warned."""


@unique
class EnrolmentState(StrEnum):
    """How the agent stands with its control plane."""

    UNENROLLED = "unenrolled"
    PENDING = "pending"
    """It asked to join; a person has to approve it."""
    ENROLLED = "enrolled"
    EXPIRED = "expired"
    """Its certificate has expired meanwhile; it comes back by its link key."""


def enrolment_state(held: AgentCredential | None, now: int) -> EnrolmentState:
    """By the certificate alone. `now`: Unix nanoseconds."""
    if held is None:
        return EnrolmentState.UNENROLLED
    return EnrolmentState.EXPIRED if now >= held.expires else EnrolmentState.ENROLLED


class CertificateIssuer(Protocol):
    """`enrolling.Enroller`, or a double."""

    async def join(self, target: EnrolTarget, *, org: str = "", label: str = "") -> Pending | None:
        """See `Enroller`."""
        ...

    async def renew(self, credential: AgentCredential) -> None:
        """See `Enroller`."""
        ...


class CredentialManager:
    """Hands the credential to whoever uses it, and each next one."""

    def __init__(
        self,
        *,
        load: Callable[[], AgentCredential | None],
        enroller: CertificateIssuer,
        target: EnrolTarget | None,
        label: str,
        on_credential: Callable[[AgentCredential], None],
        alert: Callable[[AlertCode, Severity], None],
        world: World,
    ) -> None:
        """`load` blocks. Without a `target` an agent that was never let in waits for a command."""
        self._load = load
        self._enroller = enroller
        self._door = target
        self._label = label
        self._use = on_credential
        self._alert = alert
        self._world = world
        self._asked = trio.Event()
        self._warned = b""
        self._rested = -math.inf  # when time may have it renew again, on the monotonic clock
        self.credential: AgentCredential | None = None
        self.fingerprint = ""
        """What the person who approves should see, while pending."""
        self.trouble = ""
        """Why the last request was not granted; empty when it was."""

    @property
    def enrolment_state(self) -> EnrolmentState:
        """As of now."""
        if self.credential is None and self.fingerprint:
            return EnrolmentState.PENDING
        return enrolment_state(self.credential, self._world.wall())

    @property
    def is_expiring(self) -> bool:
        """Whether little is left of the certificate's life, and it could not be renewed."""
        held = self.credential
        return held is not None and bool(self.trouble) and self._is_short(held)

    def _is_short(self, held: AgentCredential) -> bool:
        return held.expires - self._world.wall() < (held.expires - held.begins) * WARNING_SHARE

    def request_renewal(self) -> None:
        """Somebody wants a new certificate before it is due."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled. Raises `PkiError` for files that do not fit."""
        await self._load_credential()
        while self.credential is None:
            await self._world.sleep(await self._join())
        while True:
            await self._wait_until_due(self.credential)
            await self._renew(self.credential)

    async def _load_credential(self) -> None:
        self.credential = await self._world.run_sync(self._load)
        if self.credential is not None:
            self._use(self.credential)

    async def _join(self) -> float:
        """Ask once; returns how long to wait before the next time."""
        if self._door is None:
            return IDLE_WAIT
        try:
            pending = await self._enroller.join(self._door, label=self._label)
        except (EnrolError, PkiError, UnavailableError) as error:
            self._report_trouble(error)
            return seconds_until_retry(4, self._world.jitter())
        self.trouble = ""
        if pending is None:
            await self._load_credential()
            return 0.0
        if pending.fingerprint != self.fingerprint:
            self.fingerprint = pending.fingerprint
            log.warning("waiting to be approved; the fingerprint is %s", pending.fingerprint)
        return max(1.0, pending.retry_seconds * (0.75 + 0.5 * self._world.jitter()))

    async def _wait_until_due(self, held: AgentCredential) -> None:
        due = seconds_until_renewal(
            held.begins, held.expires, self._world.jitter(), self._world.wall()
        )
        # By a clock that is hours ahead each new certificate is due at once.
        wait = max(due, self._rested - self._world.monotonic())
        await wait_event(self._asked, wait)
        self._asked = trio.Event()

    async def _renew(self, held: AgentCredential) -> None:
        """Ask until there is a new certificate, however long that takes."""
        attempt = 0
        while self.credential is held:
            try:
                await self._enroller.renew(held)
            except (EnrolError, PkiError, UnavailableError) as error:
                self._report_trouble(error)
                self._warn(held)
                await self._world.sleep(seconds_until_retry(attempt, self._world.jitter()))
                attempt += 1
            else:
                self.trouble = ""
                self._rested = self._world.monotonic() + RETRY_CAP
                await self._load_credential()

    def _warn(self, held: AgentCredential) -> None:
        """Once for each certificate, when little is left of its life."""
        if self._is_short(held) and self._warned != held.fingerprint:
            self._warned = held.fingerprint
            self._alert(AlertCode.CERTIFICATE_EXPIRING, Severity.WARNING)

    def _report_trouble(self, error: Exception) -> None:
        if str(error) != self.trouble:
            self.trouble = str(error)
            log.warning("no certificate from the control plane yet: %s", error)


# When the agent asks for its next certificate, and again if it was not answered.
#
# A certificate is exchanged at 50 to 66 % of its life (`protocols.pki.profile`). A control plane
# that is away is asked again with exponential backoff and full jitter, at most every five
# minutes; an agent whose certificate has expired meanwhile comes back by its link key, however
# late.


BASE: Final = 2.0
RETRY_CAP: Final = 300.0
_MAX_DOUBLINGS: Final = 16


def seconds_until_renewal(begins: int, expires: int, jitter: float, now: int) -> float:
    """Seconds until the renewal; 0 when it is due. Instants: Unix nanoseconds."""
    return max(0.0, (renewal_time(begins, expires, jitter) - now) / SECOND)


def seconds_until_retry(attempt: int, jitter: float) -> float:
    """Seconds before asking again, `attempt` counted from 0; never less than one second."""
    return 1.0 + jitter * min(RETRY_CAP, BASE * 2.0 ** min(attempt, _MAX_DOUBLINGS))
