"""The control plane's side of things: put its bundle in force, and how the link stands."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from actors.world import World
from protocols.instant import from_millis
from protocols.link.bundle import (
    AcceptedVersion,
    BundleError,
    VerifiedBundle,
    hash_of,
    open_bundle,
)
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.vocabulary import PolicyReason
from vault import operations
from vault.authz import policy_bundle
from vault.authz.policy import Effect
from vault.authz.policy_store import PolicyStore
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.link import (
    CentralBundle,
    CentralPolicy,
    LinkStatus,
    SentPage,
    SentVerdict,
)
from vault.model.link_ports import ActiveBundle, PolicyTrust
from vault.model.operation import Capability
from vault.model.payloads import ApplyBundle, ListEgress, Nothing


class ControlPlaneLink(Protocol):
    """What the handlers ask of the link: `vault.control_link.ports.LinkPorts`."""

    @property
    def trust(self) -> Callable[[], PolicyTrust | None]:
        """Whose bundles count; None while the agent is not enrolled."""
        ...

    @property
    def link_status(self) -> Callable[[], LinkStatus]:
        """How the link is."""
        ...

    @property
    def list_sent(self) -> Callable[[int, int], Awaitable[SentPage]]:
        """Entries of the egress ledger below a number (0: all), at most so many."""
        ...

    @property
    def verify_sent(self) -> Callable[[], Awaitable[SentVerdict]]:
        """Checks the whole ledger."""
        ...

    @property
    def on_bundle_dropped(self) -> Callable[[], None]:
        """To be called when the owner has dropped the bundle."""
        ...


@dataclass(frozen=True)
class ControlPlaneHandlers:
    """The handlers of `fleet.*`."""

    policies: PolicyStore
    link: ControlPlaneLink
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.APPLY_BUNDLE, run=self.apply, capability=Capability.SUDO, mutates=True
            ),
            Handler(operations.READ_BUNDLE, run=self.bundle, capability=Capability.READ),
            Handler(
                operations.RESET_BUNDLE,
                run=self.reset,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lambda dropped: {"version": dropped.version},
            ),
            Handler(operations.READ_LINK, run=self.status, capability=Capability.READ),
            Handler(
                operations.LIST_EGRESS,
                run=self.sent,
                capability=Capability.READ,
                audit_response=lambda page: {"count": len(page.entries)},
            ),
            Handler(operations.VERIFY_EGRESS, run=self.sent_verify, capability=Capability.READ),
        )

    async def apply(self, call: Call[ApplyBundle]) -> ActiveBundle:
        """Check a bundle and put it in force; the one in force again changes nothing.

        Raises `ValidationError` (`bundle_refused`), whose `details["reason"]` is a `PolicyReason`.
        """
        payload = call.payload
        trust = self.link.trust()
        if trust is None:
            raise ValidationError("not_enrolled", "the agent has no control plane")
        stored = self.policies.snapshot.bundle.stored_for(trust)
        if hash_of(payload.signed[SIGNATURE_SIZE:]) != stored.hash:  # not secret: public hashes
            accepted = self._checked(payload.signed, trust, stored)
            await self.policies.put_bundle(self._read(trust, accepted), by=call.identity.name)
        return self.policies.active_bundle()

    async def bundle(self, _: Call[Nothing]) -> CentralBundle:
        """The bundle in force and its policies; version 0 for none."""
        return bundle_for_display(self.policies.snapshot.bundle)

    async def reset(self, call: Call[Nothing]) -> CentralBundle:
        """Drop the bundle in force, and with it the version below which none is taken.

        It works without a link and without an enrolment. What was dropped; version 0 for nothing.
        Raises `AuthorizationError` if the bundle denies the caller something.
        """
        dropped = await self.policies.delete_bundle(by=call.identity)
        if dropped.version:
            self.link.on_bundle_dropped()
        return bundle_for_display(dropped)

    async def status(self, _: Call[Nothing]) -> LinkStatus:
        """How the agent stands with its control plane, and which bundle is in force."""
        found, held, trust = (
            self.link.link_status(),
            self.policies.snapshot.bundle,
            self.link.trust(),
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

    async def sent(self, call: Call[ListEgress]) -> SentPage:
        """What was sent to the control plane, newest first. Raises as the ledger's reader."""
        payload = call.payload
        return await self.link.list_sent(payload.before, payload.limit)

    async def sent_verify(self, _: Call[Nothing]) -> SentVerdict:
        """The whole ledger, checked."""
        return await self.link.verify_sent()

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


def _refused(reason: PolicyReason, why: str) -> ValidationError:
    return ValidationError("bundle_refused", f"the bundle is refused: {why}", reason=str(reason))
