"""Policies: written in versions, pointed at agents, and what has become of each agent's bundle."""

import difflib
from functools import partial
from typing import Any, Final

import msgspec
import trio
from msgspec.structs import replace

from actors import World
from control.errors import NotFoundError, ValidationError
from control.model.documents import Document, checked
from control.model.names import slug
from control.model.policies import Assignment, Outcome, Policy, PolicyVersion, Target
from control.services.bundles import Terms, assign, renew
from control.services.events import Bus, Event, Topic
from control.services.wanting import contents
from control.store import agents, policies
from control.store.rows import Tx
from control.store.store import Store

CHUNK: Final = 200  # agents of one transaction: signing them holds the writer for about 20 ms
MAX_POLICIES: Final = 200  # of one organization; an agent's bundle holds at most 500 documents


class Policies:
    """Writes, points, refreshes."""

    def __init__(self, store: Store, bus: Bus, terms: Terms, world: World) -> None:
        self._store = store
        self._bus = bus
        self._terms = terms
        self._world = world
        self._refreshing = trio.Lock()

    async def write(
        self, org: str, name: str, document: Document, comment: str, by: str
    ) -> PolicyVersion:
        """The next version of a policy; nobody gets it before a roll-out."""
        plain = msgspec.to_builtins(checked(document, slug(name, "policy")))
        now = self._world.now()

        def change(tx: Tx) -> PolicyVersion:
            policy = policies.policy(tx, org, name)
            if policy is None:
                if len(policies.policies_of(tx, org)) >= MAX_POLICIES:
                    raise ValidationError("too_many", f"at most {MAX_POLICIES} policies")
                policy = Policy(org, name, 0, 0, (), now, now)
            head = policy.head + 1
            made = PolicyVersion(org, name, head, plain, comment, by, now)
            policies.put_policy(tx, replace(policy, head=head, changed_at=now))
            policies.add_version(tx, made)
            return made

        return await self._store.write(change)

    async def every(self, org: str) -> list[Policy]:
        """By name."""
        return await self._store.read(lambda tx: policies.policies_of(tx, org))

    async def get(self, org: str, name: str) -> Policy:
        """Raises `NotFoundError`."""
        return await self._store.read(lambda tx: require_policy(tx, org, name))

    async def versions(self, org: str, name: str, limit: int) -> list[PolicyVersion]:
        """The newest first. Raises `NotFoundError`."""

        def find(tx: Tx) -> list[PolicyVersion]:
            require_policy(tx, org, name)
            return policies.versions(tx, org, name, limit)

        return await self._store.read(find)

    async def version(self, org: str, name: str, number: int) -> PolicyVersion:
        """Raises `NotFoundError`."""
        return await self._store.read(lambda tx: require_version(tx, org, name, number))

    async def diff(self, org: str, name: str, old: int, new: int) -> list[str]:
        """A unified diff of two versions, line by line, of their sorted and indented JSON."""
        before = await self.version(org, name, old)
        after = await self.version(org, name, new)
        lines = difflib.unified_diff(
            _lines(before.document), _lines(after.document), str(old), str(new), lineterm=""
        )
        return list(lines)

    async def point(self, org: str, name: str, targets: tuple[Target, ...]) -> Policy:
        """Whom the policy is for, from now on."""
        for target in targets:
            if (target.vault is not None) + (target.tag is not None) + target.all != 1:
                raise ValidationError(
                    "target_invalid", "a target is one of vault, tag and all", field="targets"
                )
        now = self._world.now()

        def change(tx: Tx) -> Policy:
            pointed = replace(require_policy(tx, org, name), targets=targets, changed_at=now)
            policies.put_policy(tx, pointed)
            return pointed

        pointed = await self._store.write(change)
        await self.refresh(org)
        return pointed

    async def refresh(self, org: str) -> int:
        """Give each agent the bundle that it should have; how many got another one.

        May be called at any time and any number of times: it compares and does what is missing.
        """
        async with self._refreshing:
            wanted = await self._store.read(partial(_wanted, org))
            changed, vaults = 0, list(wanted)
            for start in range(0, len(vaults), CHUNK):
                some = {vault: wanted[vault] for vault in vaults[start : start + CHUNK]}
                made = await self._store.write(partial(self._assign, org, some, self._world.now()))
                changed += len(made)
                self.tell(*made)
        return changed

    async def status(self, org: str, name: str = "") -> list[Assignment]:
        """What the agents should have and have; only those with this policy if it is named."""

        def find(tx: Tx) -> list[Assignment]:
            if name:
                require_policy(tx, org, name)
            return policies.assignments_of(tx, org)

        found = await self._store.read(find)
        return [a for a in found if not name or name in a.contents]

    async def assignment(self, org: str, vault: str) -> Assignment | None:
        """The agent's current bundle, for its link; None if it never had one."""
        return await self._store.read(lambda tx: policies.assignment(tx, org, vault))

    def report(self, tx: Tx, org: str, vault: str, told: "Report") -> Assignment | None:
        """What an agent says of a bundle, by its own number; the row if that changed anything."""
        row = policies.assignment(tx, org, vault)
        if row is None:
            return None
        applied = told.version if told.applied else row.applied
        if applied > row.version or told.version > row.version:
            ahead = replace(row, applied=max(applied, told.version))
            return renew(tx, self._terms, ahead, row.contents, now=told.now)
        if told.version < row.version:
            changed = replace(row, applied=applied)
        else:
            outcome = Outcome.APPLIED if told.applied else Outcome.FAILED
            reason = "" if told.applied else told.reason
            changed = replace(
                row, applied=applied, outcome=outcome, reason=reason, changed_at=told.now
            )
        policies.put_assignments(tx, changed)
        return changed

    def tell(self, *rows: Assignment) -> None:
        """Publish bundles and outcomes that are stored."""
        self._bus.publish(*(Event(Topic.POLICY, a.org, a.vault, a.version) for a in rows))

    def _assign(
        self, org: str, wanted: dict[str, dict[str, int]], now: int, tx: Tx
    ) -> list[Assignment]:
        return assign(tx, self._terms, org, wanted, now=now)


class Report(msgspec.Struct, frozen=True):
    """An agent's `policy_status`: it enforces the version, or refused it for `reason`."""

    version: int
    applied: bool
    reason: str
    now: int


def require_policy(tx: Tx, org: str, name: str) -> Policy:
    """Raises `NotFoundError`."""
    found = policies.policy(tx, org, name)
    if found is None:
        raise NotFoundError("not_found", "there is no such policy")
    return found


def require_version(tx: Tx, org: str, name: str, number: int) -> PolicyVersion:
    """Raises `NotFoundError`."""
    found = policies.version(tx, org, name, number)
    if found is None:
        raise NotFoundError("not_found", "there is no such version")
    return found


def _wanted(org: str, tx: Tx) -> dict[str, dict[str, int]]:
    everybody = agents.of_organization(tx, org)
    rollouts = policies.open_rollouts(tx, org)
    return dict(contents(policies.policies_of(tx, org), rollouts, everybody))


def _lines(document: Any) -> list[str]:
    text = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)
    return text.decode().splitlines()
