"""What became of agents over the period: life, presence, certificates, from their turns."""

from typing import Any, Final

from msgspec import Struct

from control.compliance.evidence.common import Span, history_of
from control.compliance.evidence.timeline import HOUR, Timeline, Times
from control.model.agents import Life
from control.model.compliance import CertificateProof
from control.model.history import Aspect
from control.store.rows import Tx

LONGEST: Final = 48 * HOUR
"""Of a certificate; agents get them for a day."""


class Certificate(Struct, frozen=True):
    """One that was in use in the period. Times are Unix nanoseconds; `revoked_at` 0: never."""

    vault: str
    serial: str
    told: dict[str, Any]

    @property
    def not_before(self) -> int:
        """From when on."""
        return int(self.told["not_before"])

    @property
    def revoked_at(self) -> int:
        """When it was taken back."""
        return int(self.told["revoked_at"])

    @property
    def ends_at(self) -> int:
        """Until when it counted."""
        end = int(self.told["not_after"])
        return min(end, self.revoked_at) if self.revoked_at else end

    @property
    def is_short(self) -> bool:
        """Whether it is as short-lived as it should be."""
        return int(self.told["not_after"]) - self.not_before <= LONGEST

    @property
    def proof(self) -> CertificateProof:
        """That it was issued."""
        return CertificateProof(vault=self.vault, serial=self.serial, **self.told)


class Course(Struct, frozen=True):
    """By vault. `active`: when, of those that were so at all in the period."""

    life: dict[str, Timeline]
    active: dict[str, Times]
    presence: dict[str, Timeline]
    issuing: dict[str, Timeline]
    certificates: dict[str, list[Certificate]]


def course_of(tx: Tx, span: Span) -> Course:
    """Of all agents of the organization."""
    life, presence, issuing = (
        {line.subject: line for line in history_of(tx, span, aspect)}
        for aspect in (Aspect.LIFE, Aspect.PRESENCE, Aspect.CERTIFICATE)
    )
    active = {vault: times for vault, line in life.items() if (times := line.where(Life.ACTIVE))}
    certificates = {vault: _certificates(line) for vault, line in issuing.items()}
    return Course(life, active, presence, issuing, certificates)


def _certificates(line: Timeline) -> list[Certificate]:
    """Each as it was told last: a revocation is told after the issuing."""
    found = {s.value: Certificate(line.subject, s.value, s.detail) for s in line.stretches}
    return sorted(found.values(), key=lambda certificate: certificate.not_before)
