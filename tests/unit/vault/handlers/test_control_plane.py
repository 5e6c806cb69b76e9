"""A control plane's bundles at the vault: only its own, only forward, only within the ceiling."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.instant import MAX_NS
from protocols.link.bundle import ZERO_HASH, Bundle, PolicyKey, hash_of, sign_bundle
from tests.unit.vault.handlers.conftest import ROOT, House
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.authz.ceiling import NO_CEILING
from vault.authz.policy import Policy, validate_policy
from vault.authz.policy_store import PolicyStore
from vault.control_link.ports import LinkPorts
from vault.errors import AuthorizationError, ValidationError
from vault.handlers.control_plane import ControlPlaneHandlers
from vault.handlers.handler import Call
from vault.model.identity import Identity, Method
from vault.model.link import DISABLED, CentralPolicy
from vault.model.link_ports import ActiveBundle, PolicyTrust
from vault.model.operation import Capability, Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import ApplyBundle

KEY = PolicyKey(Ed25519PrivateKey.from_private_bytes(b"p" * 32))
THIEF = PolicyKey(Ed25519PrivateKey.from_private_bytes(b"t" * 32))
TRUST = PolicyTrust("acme", "prod", KEY.public, "sha256:a")
NOW_MS = 1_800_000_000_000
EVERYTHING = {"effect": "allow", "paths": ["*"], "capabilities": ["*"]}
CEILING = validate_policy(
    {
        "name": "ceiling",
        "rules": [{"effect": "allow", "paths": ["s/app/*"], "capabilities": ["read", "list"]}],
    }
)


def signed(
    version: int,
    *rules: dict[str, Any],
    prev: bytes = ZERO_HASH,
    key: PolicyKey = KEY,
    **changes: Any,
) -> bytes:
    """A bundle with one policy, `app`, of these rules."""
    fields: dict[str, Any] = {
        "org": "acme",
        "vault": "prod",
        "version": version,
        "prev_hash": prev,
        "not_before": 0,
        "expires": 2 * NOW_MS,
        "rules": (msgspec.json.encode({"name": "app", "rules": rules}),),
    }
    return sign_bundle(Bundle(**{**fields, **changes}), key)


@dataclass
class Agent:
    """An enrolled agent's policies."""

    house: House
    ceiling: Policy = NO_CEILING
    book: PolicyStore = field(init=False)
    trust: PolicyTrust | None = TRUST
    dropped: int = 0

    def __post_init__(self) -> None:
        self.book = PolicyStore(self.house.store, self.house.world, self.ceiling)

    async def do(self, name: str, payload: object, by: Identity = ROOT) -> Any:
        """One operation."""
        seam = LinkPorts(trust=lambda: self.trust, on_bundle_dropped=self.drop)
        handlers = ControlPlaneHandlers(self.book, seam, self.house.world).handlers()
        op = Operation(
            type=OperationType(name),
            path=ResourcePath.parse("sys/fleet/bundle"),
            payload=payload,
            request_id="r",
            credential=None,
            origin=Origin(ip=""),
        )
        return await handlers[name].run(Call(op, by))

    def drop(self) -> None:
        """What the uplink is told."""
        self.dropped += 1

    async def take(self, bundle: bytes) -> ActiveBundle:
        """A bundle comes."""
        found: ActiveBundle = await self.do("fleet.apply", ApplyBundle(signed=bundle))
        return found

    async def refused(self, bundle: bytes) -> str:
        """Why it is not taken."""
        with pytest.raises(ValidationError) as told:
            await self.take(bundle)
        assert told.value.code == "bundle_refused"
        return str(told.value.details["reason"])

    def allows(self, capability: str, path: str, *policies: str) -> bool:
        """Whether somebody with these policies may do that."""
        who = Identity(id="u", name="u", method=Method.TOKEN, policies=policies or ("app",))
        access = AccessRequest(
            capability=Capability(capability),
            path=ResourcePath.parse(path),
            identity=who,
            origin=Origin(ip=""),
            now=self.house.world.now(),
        )
        return Authorizer(self.book).decide(access).allowed


@pytest.fixture
def enrolled(house: House) -> Callable[..., Agent]:
    """An agent with a ceiling, or without."""
    return lambda ceiling=NO_CEILING: Agent(house, ceiling)


async def test_a_malicious_control_plane_cannot_widen(enrolled: Callable[..., Agent]) -> None:
    """Whatever its bundle allows, only what the ceiling allows counts; root loses nothing."""
    agent = enrolled(CEILING)
    in_force = await agent.take(signed(1, EVERYTHING))
    assert (in_force.version, in_force.narrowed) == (1, 1)
    assert agent.allows("read", "s/app/a")
    for capability, path in (
        ("update", "s/app/a"),
        ("destroy", "s/app/a"),
        ("read", "s/other"),
        ("update", "sys/policies/app"),
        ("sudo", "sys/seal"),
        ("update", "auth/token/create"),
    ):
        assert not agent.allows(capability, path)
    deny = {"effect": "deny", "paths": ["*"], "capabilities": ["*"]}
    await agent.take(signed(5, deny))
    assert not agent.allows("read", "s/app/a")
    assert agent.allows("read", "s/app/a", "root")


async def test_without_a_ceiling_it_can_only_take_away(enrolled: Callable[..., Agent]) -> None:
    """The default of an owner who has said nothing."""
    agent = enrolled()
    await agent.take(signed(1, EVERYTHING))
    assert not agent.allows("read", "s/app/a")


async def test_it_cannot_go_back_or_split(enrolled: Callable[..., Agent]) -> None:
    """Older versions, another bundle of one version, a broken chain: all refused, all the time."""
    agent = enrolled(CEILING)
    one, two = signed(1), signed(2, EVERYTHING, prev=hash_of(signed(1)[64:]))
    await agent.take(one)
    await agent.take(two)
    assert await agent.refused(one) == "older"
    assert await agent.refused(signed(2)) == "equivocation"
    assert await agent.refused(signed(3, prev=b"x" * 32)) == "broken_chain"
    assert (await agent.take(two)).version == 2
    reopened = Agent(agent.house, CEILING)
    await reopened.book.reload()
    assert await reopened.refused(one) == "older"
    assert reopened.allows("read", "s/app/a")


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (signed(1, key=THIEF), "signature"),
        (signed(1)[:-1] + b"x", "signature"),
        (signed(1, org="other"), "wrong_org"),
        (signed(1, vault="other"), "wrong_vault"),
        (signed(1, expires=1), "expired"),
        (signed(1, not_before=2 * NOW_MS - 1), "not_yet_valid"),
        (signed(1, rules=(b'{"name":"root","rules":[]}',)), "invalid_rule"),
        (signed(1, rules=(b"no json at all",)), "invalid_rule"),
        (b"x" * 65, "signature"),
    ],
)
async def test_what_is_not_ours_is_refused(
    enrolled: Callable[..., Agent], bundle: bytes, reason: str
) -> None:
    """Each by its own word, and nothing of it is in force."""
    agent = enrolled(CEILING)
    assert await agent.refused(bundle) == reason
    assert agent.book.snapshot.bundle.version == 0


async def test_one_in_force_stays_beyond_its_end(enrolled: Callable[..., Agent]) -> None:
    """Expiry is about being accepted: an agent offline for weeks keeps its last policy."""
    agent = enrolled(CEILING)
    bundle = signed(1, EVERYTHING, expires=NOW_MS + 1000)
    await agent.take(bundle)
    agent.house.world.time += 10**15
    assert agent.allows("read", "s/app/a")
    assert (await agent.take(bundle)).version == 1


async def test_an_agent_without_a_control_plane_takes_none(house: House) -> None:
    """And says so of its link."""
    handlers = ControlPlaneHandlers(house.book, LinkPorts(), house.world).handlers()
    op = Operation(
        type=OperationType("fleet.apply"),
        path=ResourcePath.parse("sys/fleet/bundle"),
        payload=ApplyBundle(signed=signed(1)),
        request_id="r",
        credential=None,
        origin=Origin(ip=""),
    )
    with pytest.raises(ValidationError) as told:
        await handlers["fleet.apply"].run(Call(op, ROOT))
    assert told.value.code == "not_enrolled"
    assert await handlers["fleet.link"].run(Call(op, ROOT)) == DISABLED


async def test_a_bundle_that_never_expires_is_shown_with_a_time_that_can_be(
    enrolled: Callable[..., Agent],
) -> None:
    """A page that is given a later one shows nothing at all."""
    agent = enrolled(CEILING)
    await agent.take(signed(1, expires=2**63 - 1))
    agent.trust = None
    assert (await agent.do("fleet.link", None)).policy_expires <= MAX_NS
    assert (await agent.do("fleet.bundle", None)).expires <= MAX_NS


FAR = 2**53


async def test_a_poisoned_version_ends_with_the_enrolment(enrolled: Callable[..., Agent]) -> None:
    """The policies stay until others come; the version holds nobody up, and is told to nobody."""
    agent = enrolled(CEILING)
    await agent.take(signed(FAR, EVERYTHING))
    assert await agent.refused(signed(1)) == "older"
    agent.trust = PolicyTrust("acme", "prod", THIEF.public, "sha256:b")
    assert agent.book.active_bundle(agent.trust) == ActiveBundle(0, ZERO_HASH, 0, 0)
    assert agent.allows("read", "s/app/a")
    status = await agent.do("fleet.link", None)
    assert status.policy_version == FAR
    assert "another enrolment (acme/prod)" in status.policy_trouble
    assert (await agent.take(signed(1, key=THIEF))).version == 1
    assert not agent.allows("read", "s/app/a")
    assert (await agent.do("fleet.link", None)).policy_trouble == ""


@pytest.mark.parametrize("trust", [TRUST, None])
async def test_the_owner_drops_what_a_control_plane_has_put_in_force(
    enrolled: Callable[..., Agent], trust: PolicyTrust | None
) -> None:
    """Also without a link: policies and version are gone, here and after a restart."""
    agent = enrolled(CEILING)
    await agent.take(signed(FAR, EVERYTHING))
    agent.trust = trust
    seen = await agent.do("fleet.bundle", None)
    assert (seen.version, seen.org, seen.vault) == (FAR, "acme", "prod")
    assert seen.policies == (CentralPolicy(name="app", allows=1, denies=0),)
    if trust is None:
        assert (await agent.do("fleet.link", None)).policy_version == FAR
    assert await agent.do("fleet.reset", None) == seen
    assert agent.dropped == 1
    assert not agent.allows("read", "s/app/a")
    assert (await agent.do("fleet.bundle", None)).version == 0
    assert (await agent.do("fleet.reset", None)).version == 0
    assert agent.dropped == 1
    reopened = Agent(agent.house, CEILING)
    await reopened.book.reload()
    assert reopened.book.snapshot.bundle.version == 0
    assert (await reopened.take(signed(1, EVERYTHING))).version == 1


async def test_who_is_denied_by_a_bundle_does_not_drop_it(enrolled: Callable[..., Agent]) -> None:
    """By his own policy or a maker's; whoever it allows something, or whom it leaves alone, may."""
    agent = enrolled(CEILING)
    deny = {"effect": "deny", "paths": ["s/*"], "capabilities": ["read"]}
    await agent.take(signed(1, deny))
    bound = (_who("all", "app"), _who("all", denied_by=("app",)))
    for subject in bound:
        with pytest.raises(AuthorizationError) as told:
            await agent.do("fleet.reset", None, subject)
        assert told.value.code == "denial_lifted"
    assert (agent.book.snapshot.bundle.version, agent.dropped) == (1, 0)
    assert (await agent.do("fleet.reset", None, _who("all"))).version == 1
    await agent.take(signed(1, EVERYTHING))
    assert (await agent.do("fleet.reset", None, bound[0])).version == 1
    await agent.take(signed(1, deny))
    assert (await agent.do("fleet.reset", None)).version == 1


def _who(*policies: str, denied_by: tuple[str, ...] = ()) -> Identity:
    return Identity(id="u", name="u", method=Method.TOKEN, policies=policies, denied_by=denied_by)
