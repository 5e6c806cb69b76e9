"""The CA at work: its services over one ledger, and the authority they issue with."""

from typing import NamedTuple, Self

from actors.world import World
from control.ca.directory import CaDirectory
from control.ca.enrolment import Enrolment
from control.ca.issuer import ControlKeys, Issuer
from control.ca.joining import Joining
from control.ca.ledger import Ledger
from control.ca.past import Past
from control.ca.renewal import GRACE, Renewal
from control.ca.revocation import OnEnd, Revocation


class Office(NamedTuple):
    """Everything that lets an agent in or out."""

    directory: CaDirectory
    issuer: Issuer
    enrolment: Enrolment
    renewal: Renewal
    joining: Joining
    revocation: Revocation

    @classmethod
    def open(  # noqa: PLR0917  # what an office is made of, each of another kind
        cls,
        directory: CaDirectory,
        ledger: Ledger,
        keys: ControlKeys,
        on_end: OnEnd,
        world: World,
        grace: int = GRACE,
        past: Past | None = None,
    ) -> Self:
        """`grace`: see `Renewal`. `past`: what was seen beside the ledger.

        Raises `NotFoundError` where there is no authority, `PkiError` for damaged files.
        """
        issuer = Issuer(directory.standing(), keys, past or Past(world))
        revocation = Revocation(ledger, issuer, on_end, world)
        return cls(
            directory,
            issuer,
            Enrolment(ledger, issuer, on_end, world),
            Renewal(ledger, issuer, revocation, world, grace),
            Joining(ledger, issuer, on_end, world),
            revocation,
        )
