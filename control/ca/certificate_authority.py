"""The certificate authority of a running control plane: its services over one ledger."""

from typing import NamedTuple, Self

from actors.world import World
from control.ca.clock_guard import ClockGuard
from control.ca.directory import CaDirectory
from control.ca.enrolment import Enrolment
from control.ca.issuer import ControlKeys, Issuer
from control.ca.join_requests import JoinRequests
from control.ca.renewal import REJOIN_GRACE, Renewal
from control.ca.revocation import AgentEndedHandler, Revocation
from control.ca.store import CaStore


class CertificateAuthority(NamedTuple):
    """The services that admit and end agents."""

    directory: CaDirectory
    issuer: Issuer
    enrolment: Enrolment
    renewal: Renewal
    join_requests: JoinRequests
    revocation: Revocation

    @classmethod
    def load(  # noqa: PLR0917  # what an office is made of, each of another kind
        cls,
        directory: CaDirectory,
        store: CaStore,
        keys: ControlKeys,
        on_ended: AgentEndedHandler,
        world: World,
        grace: int = REJOIN_GRACE,
        clock_guard: ClockGuard | None = None,
    ) -> Self:
        """Open the authority in this directory. See `Renewal` for `grace`.

        Raises `NotFoundError` where there is no authority, `PkiError` for damaged files.
        """
        issuer = Issuer(directory.issuing_state(), keys, clock_guard or ClockGuard(world))
        revocation = Revocation(store, issuer, on_ended, world)
        return cls(
            directory,
            issuer,
            Enrolment(store, issuer, on_ended, world),
            Renewal(store, issuer, revocation, world, grace),
            JoinRequests(store, issuer, on_ended, world),
            revocation,
        )
