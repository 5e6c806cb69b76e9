"""The control plane's side of things: put its bundle in force, and how the link stands."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from actors.world import World
from protocols.link.bundle import NO_BUNDLE, Accepted, BundleError, Stored, hash_of, open_bundle
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.vocabulary import AlertCode, PolicyReason
from vault.audit.feed import Follower
from vault.authz import fleet
from vault.authz.book import PolicyBook
from vault.authz.ceiling import NO_CEILING, narrowed
from vault.authz.policy import Effect, Policy
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers
from vault.handlers.tally import Tally
from vault.model.instant import of_millis
from vault.model.link import (
    DISABLED,
    CentralBundle,
    CentralPolicy,
    LinkStatus,
    SentPage,
    SentVerdict,
)
from vault.model.operation import Capability
from vault.model.payloads import ApplyBundle, SentBefore
from vault.model.seam import InForce, KeyReader, PolicyTrust


def no_link() -> LinkStatus:
    """Of an agent without a control plane."""
    return DISABLED


async def nothing_sent(_: int, __: int) -> SentPage:
    """Of an agent without a ledger."""
    return SentPage((), 0)


async def nothing_to_verify() -> SentVerdict:
    """The same."""
    return SentVerdict(entries=0, bytes=0, first=0, last=0, fault="")


@dataclass
class Seam:
    """What the open data path is lent by the uplink, and what it lends back."""

    ceiling: Policy = NO_CEILING
    followers: tuple[Follower, ...] = ()
    trust: Callable[[], PolicyTrust | None] = field(default=lambda: None)
    """None while the agent is not enrolled."""
    link: Callable[[], LinkStatus] = no_link
    sent: Callable[[int, int], Awaitable[SentPage]] = nothing_sent
    """What was sent, newest first: entries below a number (0: all), at most so many."""
    sent_verified: Callable[[], Awaitable[SentVerdict]] = nothing_to_verify
    bundle_dropped: Callable[[], None] = field(default=lambda: None)
    """Told that the bundle was dropped by the owner: the control plane has to hear of it."""
    opened: Callable[[PolicyBook, KeyReader], None] = field(default=lambda _book, _keys: None)
    closed: Callable[[], None] = field(default=lambda: None)
    """Drop what `opened` was given: keys are reached from it."""
    alert: Callable[[AlertCode, int], None] = field(default=lambda _code, _count: None)
    """Report something to the control plane, and how often; waits for nothing."""
    tally: Tally = field(default_factory=Tally)
    """What was used since it was last told."""

    @contextmanager
    def lent(self, book: PolicyBook, keys: KeyReader) -> Iterator[None]:
        """Let the uplink look into the data path for the length of the block."""
        self.opened(book, keys)
        try:
            yield
        finally:
            self.closed()


@dataclass(frozen=True)
class FleetHandlers:
    """The handlers of `fleet.*`."""

    book: PolicyBook
    seam: Seam
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "fleet.apply": Handler(run=self.apply, capability=Capability.SUDO, mutates=True),
            "fleet.bundle": Handler(run=self.bundle, capability=Capability.READ),
            "fleet.reset": Handler(
                run=self.reset,
                capability=Capability.SUDO,
                mutates=True,
                response=lambda dropped: {"version": dropped.version},
            ),
            "fleet.link": Handler(run=self.status, capability=Capability.READ),
            "fleet.sent": Handler(
                run=self.sent,
                capability=Capability.READ,
                response=lambda page: {"count": len(page.entries)},
            ),
            "fleet.sent_verify": Handler(run=self.sent_verify, capability=Capability.READ),
        }

    async def apply(self, call: Call) -> InForce:
        """Check a bundle and put it in force; the one in force again changes nothing.

        Raises `ValidationError` (`bundle_refused`), whose `details["reason"]` is a `PolicyReason`.
        """
        payload: ApplyBundle = call.payload
        trust = self.seam.trust()
        if trust is None:
            raise ValidationError("not_enrolled", "the agent has no control plane")
        stored = self.book.snapshot.fleet.stored(trust)
        if hash_of(payload.signed[SIGNATURE_SIZE:]) != stored.hash:  # not secret: public hashes
            accepted = self._checked(payload.signed, trust, stored)
            await self.book.put_bundle(self._read(trust, accepted), by=call.identity.name)
        return in_force(self.book)

    async def bundle(self, _: Call) -> CentralBundle:
        """The bundle in force and its policies; version 0 for none."""
        return described(self.book.snapshot.fleet)

    async def reset(self, call: Call) -> CentralBundle:
        """Drop the bundle in force, and with it the version below which none is taken.

        It works without a link and without an enrolment. What was dropped; version 0 for nothing.
        Raises `AuthorizationError` if the bundle denies the caller something.
        """
        dropped = await self.book.delete_bundle(by=call.identity)
        if dropped.version:
            self.seam.bundle_dropped()
        return described(dropped)

    async def status(self, _: Call) -> LinkStatus:
        """How the agent stands with its control plane, and which bundle is in force."""
        found, held, trust = self.seam.link(), self.book.snapshot.fleet, self.seam.trust()
        if not held.version or (trust is not None and held.is_of(trust)):
            return found
        foreign = (
            f"the bundle in force came by another enrolment ({held.org}/{held.vault}): it stays "
            "until the first one of this enrolment, or 'freehold agent link policy reset'"
        )
        return replace(
            found,
            policy_version=held.version,
            policy_expires=of_millis(held.expires),
            policy_trouble=found.policy_trouble or (foreign if trust is not None else ""),
        )

    async def sent(self, call: Call) -> SentPage:
        """What was sent to the control plane, newest first. Raises as the ledger's reader."""
        payload: SentBefore = call.payload
        return await self.seam.sent(payload.before, payload.limit)

    async def sent_verify(self, _: Call) -> SentVerdict:
        """The whole ledger, checked."""
        return await self.seam.sent_verified()

    def _checked(self, signed: bytes, trust: PolicyTrust, stored: Stored) -> Accepted:
        try:
            return open_bundle(
                signed,
                [trust.key],
                org=trust.org,
                vault=trust.vault,
                stored=stored,
                now_ms=self.world.now() // 1_000_000,
            )
        except BundleError as error:
            raise _refused(error.reason, str(error)) from None

    def _read(self, trust: PolicyTrust, accepted: Accepted) -> fleet.Fleet:
        try:
            return fleet.read(trust, accepted)
        except ValidationError as error:
            raise _refused(PolicyReason.INVALID_RULE, error.message) from None


def described(held: fleet.Fleet) -> CentralBundle:
    """A bundle for people."""
    return CentralBundle(
        version=held.version,
        org=held.org,
        vault=held.vault,
        expires=of_millis(held.expires),
        policies=tuple(
            CentralPolicy(
                name=policy.name,
                allows=sum(rule.effect is Effect.ALLOW for rule in policy.rules),
                denies=sum(rule.effect is Effect.DENY for rule in policy.rules),
            )
            for policy in held.policies
        ),
    )


def in_force(book: PolicyBook, trust: PolicyTrust | None = None) -> InForce:
    """What the book has of a control plane; with `trust` only what came by that enrolment."""
    found = book.snapshot.fleet
    if trust is not None and not found.is_of(trust):
        return InForce(0, NO_BUNDLE, 0, 0)
    cut = narrowed(book.ceiling, found.policies)
    return InForce(found.version, found.hash, found.expires, cut)


def _refused(reason: PolicyReason, why: str) -> ValidationError:
    return ValidationError("bundle_refused", f"the bundle is refused: {why}", reason=str(reason))
