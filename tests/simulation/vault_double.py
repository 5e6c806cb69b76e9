"""The vault that an agent's uplink speaks for: its policies and its audit log, on a durable disk.

It checks bundles with the product's own functions, keeps the version in force as the vault's store
does, and proves the growth of its log with the product's own `LogGrowth`. What it has none of is
the data path: there are no requests here.
"""

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actors.tree import Node
from protocols.instant import rfc3339
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import ZERO_HASH, AcceptedVersion, open_bundle
from protocols.link.signing import sha256
from protocols.merkle import Frontier, leaf_hash
from tests.simulation.machine import SimWorld
from tests.simulation.oracle import broken
from vault.audit.checkpoint import TreeHead, log_id_of, log_origin, sign_checkpoint
from vault.audit.keys import AuditKeys
from vault.authz import policy_bundle
from vault.control_link.audit_follower import LogGrowth
from vault.control_link.host import AppliedBundle, MetricFigures, VaultFacts
from vault.model.link_ports import PolicyTrust

ORG: Final = "acme"
CANARY: Final = b"canary-7f3e-hunter2"
"""In every line of every audit log, and in what the double holds: it must not travel."""
_MILLI: Final = 1_000_000


@dataclass
class Estate:
    """What survives of one agent."""

    name: str
    folder: Path
    policy_key: bytes
    chance: random.Random
    stored: AcceptedVersion = field(default_factory=AcceptedVersion)
    expires: int = 0
    lines: list[bytes] = field(default_factory=list)
    tree: Frontier = field(default_factory=lambda: Frontier(sha256))
    rotations: int = 0
    backed_up: int = 0
    """When the newest backup was made, as its present life says."""
    token: str = ""
    """That somebody wants it enrolled with."""
    unusable: bool = False
    """What it was granted for that is not valid by a clock that is right."""
    called: trio.Event = field(default_factory=trio.Event)
    forks: list[int] = field(default_factory=lambda: [0])
    """History h has its first `forks[h]` lines in common with the one before."""
    heads: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Root of each state that was shown → its history and size."""

    def give(self, token: str) -> None:
        """Its operator is to enrol it with this."""
        self.token, self.unusable = token, False
        self.called.set()

    def record(self, line: bytes) -> None:
        """One more line, durable."""
        self.lines.append(line)
        self.tree.append(leaf_hash(sha256, line))

    def fork(self, lose: int) -> None:
        """The log comes back from an old copy, and goes on from there."""
        keep = max(0, len(self.lines) - lose)
        self.forks.append(keep)
        lines, self.lines, self.tree = self.lines[:keep], [], Frontier(sha256)
        for line in lines:
            self.record(line)

    def shared(self, early: int, late: int) -> int:
        """How many lines two histories have in common."""
        return min(self.forks[early + 1 : late + 1], default=2**63)


class VaultDouble:
    """`vault.control_link.host.Host` of one life."""

    def __init__(self, world: SimWorld, kept: Estate) -> None:
        self._world = world
        self._kept = kept
        self._started = kept.backed_up = world.now()
        self._growth: LogGrowth | None = None
        self.is_open = True

    def facts(self) -> VaultFacts:
        """See `Host`."""
        return VaultFacts(
            health=words.Health.SERVING,
            release="0.1.0",
            platform=words.Platform.LINUX_AMD64,
            backend=words.Backend.SQLITE,
            key_holder=words.KeyHolder.FILE,
            started_at=self._started // _MILLI,
            uptime=(self._world.now() - self._started) // 10**9,
            policy=self._kept.stored,
            policy_expires=self._kept.expires,
            narrowed=0,
            audit_size=len(self._kept.lines),
            secrets=1,
            backups=m.Backups(
                state=words.BackupState.GOOD,
                newest=self._started // _MILLI,
                proven=self._started // _MILLI,
                count=1,
                period=86_400 * 365,
                rto=1,
                rpo=0,
                certificate=bytes(32),
            ),
        )

    def figures(self) -> MetricFigures:
        """See `Host`."""
        counters = {name: self._kept.chance.randrange(10**6) for name in words.CounterName}
        return MetricFigures(counters=counters, gauges={}, histograms={})

    def actor_tree(self) -> Node | None:
        """See `Host`: nobody looks at agents in a simulation."""
        return None

    async def apply_bundle(self, signed: bytes) -> AppliedBundle:
        """See `Host`: verified, validated, stored; versions only go up."""
        return await self._world.run_sync(self._apply, signed)

    async def checkpoint(self, old_size: int, old_root: bytes) -> m.AuditCheckpoint | None:
        """See `Host`; as `vault.control_link.audit_follower.AuditLogFollower` does it."""
        return await self._world.run_sync(self._checkpoint, old_size, old_root)

    async def rotate_kek(self) -> None:
        """See `Host`."""
        await self._world.run_sync(self._rotate)

    async def run_backup(self) -> bool:
        """See `Host`."""
        return False

    async def record(self, count: int) -> None:
        """Requests were served: the log grows."""
        await self._world.run_sync(self._record, count)

    def _apply(self, signed: bytes) -> AppliedBundle:
        kept = self._kept
        accepted = open_bundle(
            signed,
            [kept.policy_key],
            org=ORG,
            vault=kept.name,
            stored=kept.stored,
            now_ms=self._world.now() // _MILLI,
        )
        found = policy_bundle.parse_bundle(PolicyTrust(ORG, kept.name, b""), accepted)
        if found.version <= kept.stored.version:
            broken("policy", f"{kept.name} goes from {kept.stored.version} to {found.version}")
        kept.stored, kept.expires = AcceptedVersion(found.version, found.hash), found.expires
        self._record(1)
        return AppliedBundle(kept.stored, 0)

    def _record(self, count: int) -> None:
        for _ in range(count):
            line = b"%d %s %s" % (
                len(self._kept.lines), CANARY, self._kept.chance.randbytes(4).hex().encode()
            )  # fmt: skip
            self._kept.record(line)
            if self._growth is not None:
                self._growth.append_line(line)

    def _rotate(self) -> None:
        self._kept.rotations += 1

    def _checkpoint(self, old: int, old_root: bytes) -> m.AuditCheckpoint | None:
        lines = self._kept.lines
        if len(lines) == old or not lines:
            return None
        growth = self._growth_from(old) if old <= len(lines) else None
        head = TreeHead(
            origin=log_origin(log_id_of(self._kept.name, "n")),
            size=len(lines),
            root=self._kept.tree.root(),
            head=ZERO_HASH,
            time=rfc3339(self._world.now()),
        )
        self._kept.heads[head.root] = (len(self._kept.forks) - 1, head.size)
        proof: tuple[bytes, ...] = ()
        if growth is not None and growth.base_root == (old_root or growth.base_root):
            proof = growth.proof()
            growth.mark_base()
        note = sign_checkpoint(head, _KEYS)
        return m.AuditCheckpoint(
            old_size=old,
            size=head.size,
            root=head.root,
            note=note,
            signer=_KEYS.public,
            proof=proof,
        )

    def _growth_from(self, old: int) -> LogGrowth:
        growth = self._growth
        if growth is None or (growth.base != old and not growth.rebase(old)):
            tree = Frontier(sha256)
            for line in self._kept.lines[:old]:
                tree.append(leaf_hash(sha256, line))
            growth = self._growth = LogGrowth(tree)
            for line in self._kept.lines[old:]:
                growth.append_line(line)
        return growth


def _tag(message: bytes) -> bytes:
    """A keyed hash."""
    return hashlib.blake2b(message, key=b"audit").digest()


_AUDIT_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"a")
_KEYS: Final = AuditKeys(
    digest=sha256,
    verify=lambda *_: True,
    mac=_tag,
    sign=_AUDIT_KEY.sign,
    public=_AUDIT_KEY.public_key().public_bytes_raw(),
)
