"""Agents over a period: life, presence and certificates, from their history."""

from typing import Any, Final

from msgspec import Struct

from control.compliance.evidence.assessment import Period, read_timelines
from control.compliance.evidence.timeline import Intervals, Timeline
from control.model.agents import Life
from control.model.compliance import CertificateProof
from control.model.history import Aspect
from control.store.rows import Tx
from protocols.instant import HOUR

MAX_CERTIFICATE_LIFE: Final = 48 * HOUR
"""Of a certificate; agents get them for a day."""


class CertificateUse(Struct, frozen=True):
    """A certificate that was valid in the period.

    Times are Unix nanoseconds; `revoked_at` 0: never.
    """

    vault: str
    serial: str
    details: dict[str, Any]

    @property
    def not_before(self) -> int:
        """The start of its validity."""
        return int(self.details["not_before"])

    @property
    def revoked_at(self) -> int:
        """When it was revoked."""
        return int(self.details["revoked_at"])

    @property
    def ends_at(self) -> int:
        """The end of its validity."""
        end = int(self.details["not_after"])
        return min(end, self.revoked_at) if self.revoked_at else end

    @property
    def is_short_lived(self) -> bool:
        """Whether its lifetime is within the limit."""
        return int(self.details["not_after"]) - self.not_before <= MAX_CERTIFICATE_LIFE

    @property
    def proof(self) -> CertificateProof:
        """The proof that it was issued."""
        return CertificateProof(vault=self.vault, serial=self.serial, **self.details)


class AgentHistory(Struct, frozen=True):
    """By vault. `active`: the times in which an agent was active, if it was in the period."""

    life: dict[str, Timeline]
    active: dict[str, Intervals]
    presence: dict[str, Timeline]
    issuing: dict[str, Timeline]
    certificates: dict[str, list[CertificateUse]]


def read_agent_history(tx: Tx, span: Period) -> AgentHistory:
    """Of all agents of the organization."""
    life, presence, issuing = (
        {line.subject: line for line in read_timelines(tx, span, aspect)}
        for aspect in (Aspect.LIFE, Aspect.PRESENCE, Aspect.CERTIFICATE)
    )
    active = {
        vault: times for vault, line in life.items() if (times := line.intervals_equal(Life.ACTIVE))
    }
    certificates = {vault: _certificates(line) for vault, line in issuing.items()}
    return AgentHistory(life, active, presence, issuing, certificates)


def _certificates(line: Timeline) -> list[CertificateUse]:
    """Each certificate with its newest entry: a revocation follows the issuing."""
    found = {s.value: CertificateUse(line.subject, s.value, s.detail) for s in line.intervals}
    return sorted(found.values(), key=lambda certificate: certificate.not_before)
