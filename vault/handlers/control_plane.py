"""The control plane's side of things: put its bundle in force, and how the link stands."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from actors.world import World
from protocols.link.bundle import (
    NO_BUNDLE,
    AcceptedVersion,
    BundleError,
    VerifiedBundle,
    hash_of,
    open_bundle,
)
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.vocabulary import AlertCode, PolicyReason
from vault.audit.feed import LogFollower
from vault.authz import policy_bundle
from vault.authz.ceiling import NO_CEILING, count_narrowed
from vault.authz.policy import Effect, Policy
from vault.authz.policy_store import PolicyStore
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers
from vault.handlers.usage_tally import UsageTally
from vault.model.instant import from_millis
from vault.model.link import (
    DISABLED,
    CentralBundle,
    CentralPolicy,
    LinkStatus,
    SentPage,
    SentVerdict,
)
from vault.model.link_ports import ActiveBundle, PolicyTrust, ReadKekState
from vault.model.operation import Capability
from vault.model.payloads import ApplyBundle, ListEgress


def link_disabled() -> LinkStatus:
    """Of an agent without a control plane."""
    return DISABLED


async def nothing_sent(_: int, __: int) -> SentPage:
    """Of an agent without a ledger."""
    return SentPage((), 0)


async def nothing_to_verify() -> SentVerdict:
    """The same."""
    return SentVerdict(entries=0, bytes=0, first=0, last=0, fault="")


@dataclass
class LinkPorts:
    """What the open data path is lent by the uplink, and what it lends back."""

    ceiling: Policy = NO_CEILING
    followers: tuple[LogFollower, ...] = ()
    trust: Callable[[], PolicyTrust | None] = field(default=lambda: None)
    """None while the agent is not enrolled."""
    link_status: Callable[[], LinkStatus] = link_disabled
    list_sent: Callable[[int, int], Awaitable[SentPage]] = nothing_sent
    """What was sent, newest first: entries below a number (0: all), at most so many."""
    verify_sent: Callable[[], Awaitable[SentVerdict]] = nothing_to_verify
    on_bundle_dropped: Callable[[], None] = field(default=lambda: None)
    """Told that the bundle was dropped by the owner: the control plane has to hear of it."""
    on_open: Callable[[PolicyStore, ReadKekState], None] = field(default=lambda _book, _keys: None)
    on_close: Callable[[], None] = field(default=lambda: None)
    """Drop what `on_open` was given: keys are reached from it."""
    raise_alert: Callable[[AlertCode, int], None] = field(default=lambda _code, _count: None)
    """Report something to the control plane, and how often; waits for nothing."""
    tally: UsageTally = field(default_factory=UsageTally)
    """What was used since it was last told."""

    @contextmanager
    def connect(self, policies: PolicyStore, keys: ReadKekState) -> Iterator[None]:
        """Let the uplink look into the data path for the length of the block."""
        self.on_open(policies, keys)
        try:
            yield
        finally:
            self.on_close()


@dataclass(frozen=True)
class ControlPlaneHandlers:
    """The handlers of `fleet.*`."""

    policies: PolicyStore
    ports: LinkPorts
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
                audit_response=lambda dropped: {"version": dropped.version},
            ),
            "fleet.link": Handler(run=self.status, capability=Capability.READ),
            "fleet.sent": Handler(
                run=self.sent,
                capability=Capability.READ,
                audit_response=lambda page: {"count": len(page.entries)},
            ),
            "fleet.sent_verify": Handler(run=self.sent_verify, capability=Capability.READ),
        }

    async def apply(self, call: Call) -> ActiveBundle:
        """Check a bundle and put it in force; the one in force again changes nothing.

        Raises `ValidationError` (`bundle_refused`), whose `details["reason"]` is a `PolicyReason`.
        """
        payload: ApplyBundle = call.payload
        trust = self.ports.trust()
        if trust is None:
            raise ValidationError("not_enrolled", "the agent has no control plane")
        stored = self.policies.snapshot.bundle.stored_for(trust)
        if hash_of(payload.signed[SIGNATURE_SIZE:]) != stored.hash:  # not secret: public hashes
            accepted = self._checked(payload.signed, trust, stored)
            await self.policies.put_bundle(self._read(trust, accepted), by=call.identity.name)
        return bundle_in_force(self.policies)

    async def bundle(self, _: Call) -> CentralBundle:
        """The bundle in force and its policies; version 0 for none."""
        return bundle_for_display(self.policies.snapshot.bundle)

    async def reset(self, call: Call) -> CentralBundle:
        """Drop the bundle in force, and with it the version below which none is taken.

        It works without a link and without an enrolment. What was dropped; version 0 for nothing.
        Raises `AuthorizationError` if the bundle denies the caller something.
        """
        dropped = await self.policies.delete_bundle(by=call.identity)
        if dropped.version:
            self.ports.on_bundle_dropped()
        return bundle_for_display(dropped)

    async def status(self, _: Call) -> LinkStatus:
        """How the agent stands with its control plane, and which bundle is in force."""
        found, held, trust = (
            self.ports.link_status(),
            self.policies.snapshot.bundle,
            self.ports.trust(),
        )
        if not held.version or (trust is not None and held.is_from(trust)):
            return found
        foreign = (
            f"the bundle in force came by another enrolment ({held.org}/{held.vault}): it stays "
            "until the first one of this enrolment, or 'freehold agent link policy reset'"
        )
        return replace(
            found,
            policy_version=held.version,
            policy_expires=from_millis(held.expires),
            policy_trouble=found.policy_trouble or (foreign if trust is not None else ""),
        )

    async def sent(self, call: Call) -> SentPage:
        """What was sent to the control plane, newest first. Raises as the ledger's reader."""
        payload: ListEgress = call.payload
        return await self.ports.list_sent(payload.before, payload.limit)

    async def sent_verify(self, _: Call) -> SentVerdict:
        """The whole ledger, checked."""
        return await self.ports.verify_sent()

    def _checked(
        self, signed: bytes, trust: PolicyTrust, stored: AcceptedVersion
    ) -> VerifiedBundle:
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

    def _read(self, trust: PolicyTrust, accepted: VerifiedBundle) -> policy_bundle.PolicyBundle:
        try:
            return policy_bundle.parse_bundle(trust, accepted)
        except ValidationError as error:
            raise _refused(PolicyReason.INVALID_RULE, error.message) from None


def bundle_for_display(bundle: policy_bundle.PolicyBundle) -> CentralBundle:
    """A bundle for people."""
    return CentralBundle(
        version=bundle.version,
        org=bundle.org,
        vault=bundle.vault,
        expires=from_millis(bundle.expires),
        policies=tuple(
            CentralPolicy(
                name=policy.name,
                allows=sum(rule.effect is Effect.ALLOW for rule in policy.rules),
                denies=sum(rule.effect is Effect.DENY for rule in policy.rules),
            )
            for policy in bundle.policies
        ),
    )


def bundle_in_force(policies: PolicyStore, trust: PolicyTrust | None = None) -> ActiveBundle:
    """What the book has of a control plane; with `trust` only what came by that enrolment."""
    found = policies.snapshot.bundle
    if trust is not None and not found.is_from(trust):
        return ActiveBundle(0, NO_BUNDLE, 0, 0)
    cut = count_narrowed(policies.ceiling, found.policies)
    return ActiveBundle(found.version, found.hash, found.expires, cut)


def _refused(reason: PolicyReason, why: str) -> ValidationError:
    return ValidationError("bundle_refused", f"the bundle is refused: {why}", reason=str(reason))
