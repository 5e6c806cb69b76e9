"""An agent whose control plane was taken over, keys and all: it obeys within its owner's word."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import trio
from msgspec import Raw

from protocols.link import messages as m
from protocols.link.bundle import hash_of
from protocols.link.codec import encode_payload
from protocols.link.signing import LinkKey
from protocols.link.vocabulary import CommandName, CommandOutcome, PolicyPhase
from protocols.pki.keys import load_signing_key
from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import dev_plane
from tests.acceptance.link.villain import MILLI, WORLD, Grip, Villain, spellings
from vault.control_link.inbox import MAX_UNANSWERED

CANARY = "canary-7d41e0b2-of-the-victim"
EVERYTHING = {"effect": "allow", "paths": ["*"], "capabilities": ["*"]}
READ = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
WIDE = {"name": "reader", "rules": [EVERYTHING]}


class Prey:
    """An agent in the villain's hands, and one of its owner's tokens."""

    def __init__(self, agent: Agent, villain: Villain, reader: str) -> None:
        self.agent = agent
        self.villain = villain
        self.reader = reader

    async def call(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """A request of a client."""
        return await trio.to_thread.run_sync(partial(self.agent.call, method, path, body, **more))

    async def version(self) -> int:
        """Of the bundle in force."""
        return int((await self.call("GET", "/api/v1/system/link")).json["policy_version"])

    async def run(self, *arguments: str) -> CompletedProcess[str]:
        """A command of the owner."""
        told = {"FREEHOLD_ADDR": self.agent.address, "FREEHOLD_TOKEN": self.agent.token}
        return await trio.to_thread.run_sync(partial(freehold, *arguments, environment=told))

    async def bundle(self, signed: bytes) -> m.PolicyStatus:
        """Push it and hear what becomes of it."""
        return await self._answer(m.PolicyUpdate(bundle=signed), m.PolicyStatus)

    async def command(self, word: CommandName, expires: int = 2**62) -> CommandOutcome:
        """Ask for it and hear what becomes of it."""
        id_ = WORLD.new_id().replace("-", "")
        asked = m.Command(command_id=bytes.fromhex(id_), command=word, expires_at=expires)
        result: m.CommandResult = await self._answer(asked, m.CommandResult)
        assert result.command_id == bytes.fromhex(id_)
        return result.outcome

    async def within_its_bounds(self) -> None:
        """The reader reads secrets, as the owner's ceiling allows, and does nothing else."""
        call = partial(self.call, token=self.reader)
        assert (await call("GET", "/v1/secret/data/app")).status == 200
        body = {"data": {"password": "other"}}
        assert (await call("POST", "/v1/secret/data/app", body)).status == 403
        for path in ("/api/v1/policies", "/api/v1/system/key-status"):
            assert (await call("GET", path)).status == 403

    async def _answer(self, message: m.Message, kind: type[m.Message]) -> Any:
        villain = self.villain
        count = sum(isinstance(x, kind) for x in villain.heard)
        while not await (await villain.grip()).gave(message):
            pass  # the agent had just left; it comes back
        await villain.until(lambda: sum(isinstance(x, kind) for x in villain.heard) > count)
        return villain.last(kind)


@asynccontextmanager
async def caught(folder: Path) -> AsyncIterator[Prey]:
    """An agent that was enrolled by an honest control plane, whose place somebody has taken."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane = dev_plane(folder / "plane")
    ceiling = folder / "ceiling.json"
    ceiling.write_text(json.dumps({"rules": [READ]}))
    section = {
        "enabled": True, "ceiling": str(ceiling), "reconnect_within": "1s",
        "heartbeat_interval": "1s", "metrics_interval": "1s", "checkpoint_interval": "1s",
    }  # fmt: skip
    agent = served_agent(folder / "agent", {"control_plane": section})
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        made = plane.want(201, "POST", "organizations/acme/enrolment-tokens", {"vault": "prey"})
        port = plane.link_port
        done = freehold(
            "agent", "enrol", "--control", f"https://127.0.0.1:{port}", "--pin", made["pin"],
            "--token", made["secret"], "--config", str(agent.folder / "vault.yaml"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    key = LinkKey(load_signing_key(agent.folder / "uplink" / "link.key")).public
    villain = Villain(folder / "plane" / "data", key)
    async with trio.open_nursery() as nursery:
        await villain.listen(nursery, port)
        with running(agent):
            yield Prey(agent, villain, await trio.to_thread.run_sync(settled, agent))
        nursery.cancel_scope.cancel()


def settled(agent: Agent) -> str:
    """Opened, with a secret; a token of the policy `reader`."""
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
    agent.token = made["root_token"]
    agent.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]}, token="")
    agent.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    agent.call("POST", "/v1/secret/data/app", {"data": {"password": CANARY}})
    token: str = agent.call("POST", "/v1/auth/token/create", {"policies": ["reader"]}).json["auth"][
        "client_token"
    ]
    return token


async def test_a_control_plane_that_was_taken_over(folder: Path) -> None:
    """No value, nothing beyond the ceiling, no way back, no code, path or connection string."""
    async with caught(folder) as prey:
        villain = prey.villain
        first = villain.bundle(1, bytes(32), WIDE)
        status = await prey.bundle(first)
        assert (status.phase, status.version) == (PolicyPhase.APPLIED, 1)
        assert status.narrowed > 0
        await prey.within_its_bounds()
        second = villain.bundle(2, hash_of(first[64:]), WIDE)
        assert (await prey.bundle(second)).phase is PolicyPhase.APPLIED
        await refused(prey, hash_of(second[64:]))
        await prey.within_its_bounds()
        await ordered_about(prey)
        await fooled(prey)
        await crowned(prey)
        await prey.within_its_bounds()
        assert await prey.version() == 2
        secret = bytes(villain.raw)
        assert len(secret) > 5_000
        assert b"registration" in secret
        for spelling in spellings(CANARY):
            assert spelling not in secret


async def test_a_control_plane_that_never_acknowledges_does_not_fill_the_disk(
    folder: Path,
) -> None:
    """Commands without end, and no word on their results: it is asked no more, and serves on.

    Once the control plane does its part again, so does the agent.
    """
    async with caught(folder) as prey:
        villain = prey.villain
        before = villain.applied
        villain.acknowledges = False
        grip = await villain.grip()
        last, given = villain.said + MAX_UNANSWERED, 0
        while given < 2 * MAX_UNANSWERED and not await quiet(grip):
            while given < 2 * MAX_UNANSWERED and grip.session.window_room:
                given += 1
                id_ = bytes.fromhex(WORLD.new_id().replace("-", ""))
                word = CommandName.SEND_METRICS
                assert await grip.gave(m.Command(command_id=id_, command=word, expires_at=2**62))
        assert await trio.to_thread.run_sync(owed, prey.agent) == (MAX_UNANSWERED, last)
        assert villain.live is grip
        assert (await prey.call("GET", "/v1/secret/data/app")).status == 200
        villain.acknowledges = True
        await grip.pipe.aclose()  # it comes back, and what it is owed is sent again
        await villain.until(lambda: villain.live not in {None, grip})
        await villain.until(lambda: villain.applied > before + MAX_UNANSWERED)


async def test_a_poisoned_version_is_bounded_and_the_owner_gets_rid_of_it(folder: Path) -> None:
    """What no later bundle can follow is refused; below the rest the owner makes room again."""
    async with caught(folder) as prey:
        villain = prey.villain
        for version in (-1, 0, 2**63, 2**64 - 1):  # in no form that counts: an alert is all
            await alerted(prey, villain.raw_bundle(version=version))
        for spoiled in ({"more": 1}, {"rules": [[[b"deep"] * 3] * 3]}, {"rules": b"[]"}):
            await alerted(prey, villain.raw_bundle(**spoiled))
        for far in (2**53 + 1, 2**63 - 1):
            status = await prey.bundle(villain.bundle(far, bytes(32), WIDE))
            assert (status.phase, status.reason) == (PolicyPhase.REFUSED, "broken_chain")
        assert await prey.version() == 0
        poison = villain.bundle(2**53, bytes(32), WIDE)
        assert (await prey.bundle(poison)).phase is PolicyPhase.APPLIED
        honest = villain.bundle(1, bytes(32), WIDE)
        assert (await prey.bundle(honest)).reason == "older"
        before = villain.last(m.Registration)
        done = await prey.run("agent", "link", "policy", "reset", "--yes")
        assert done.returncode == 0, done.stderr
        await villain.until(lambda: villain.last(m.Registration) is not before)
        told = villain.last(m.Registration)
        assert (told.policy_version, told.policy_hash) == (0, bytes(32))
        assert await prey.version() == 0
        assert (await prey.bundle(honest)).phase is PolicyPhase.APPLIED
        assert (await prey.bundle(poison)).reason == "broken_chain"
        await prey.within_its_bounds()


async def alerted(prey: Prey, bundle: bytes) -> None:
    """It is refused and named by nothing but the alert."""
    villain = prey.villain

    def count() -> int:
        return sum(isinstance(x, m.Alert) and x.code == "policy_refused" for x in villain.heard)

    before = count()
    while not await (await villain.grip()).gave(m.PolicyUpdate(bundle=bundle)):
        pass
    await villain.until(lambda: count() > before)
    assert villain.last(m.PolicyStatus) is None


async def quiet(grip: Grip) -> bool:
    """Whether the agent takes no more, for as long as it would need for what is on its way."""
    with trio.move_on_after(10):
        while not grip.session.window_room:  # noqa: ASYNC110  # no event of it
            await trio.sleep(0.05)
        return False
    return True


def owed(agent: Agent) -> tuple[int, int]:
    """Commands that wait and results that are owed; the last message that was applied."""
    with closing(sqlite3.connect(agent.folder / "uplink" / "uplink.db")) as database:
        waiting = database.execute("SELECT count(*) FROM commands WHERE state != 'done'")
        results = database.execute("SELECT count(*) FROM outbox WHERE name = 'command_result'")
        cursor = database.execute("SELECT applied FROM inbox")
        return waiting.fetchone()[0] + results.fetchone()[0], cursor.fetchone()[0]


def document(**extra: Any) -> dict[str, Any]:
    """A policy that is none: with something beside its rules."""
    return WIDE | extra


def in_a_rule(**extra: Any) -> dict[str, Any]:
    """The same within a rule."""
    return WIDE | {"rules": [EVERYTHING | extra]}


async def refused(prey: Prey, newest: bytes) -> None:
    """Bundles of the right key that an agent must not take, whatever they say."""
    make, ms = prey.villain.bundle, WORLD.now() // MILLI
    cases: list[tuple[str, bytes]] = [
        ("older", make(1, bytes(32), WIDE)),
        ("equivocation", make(2, bytes(32), WIDE, {"name": "more", "rules": [EVERYTHING]})),
        ("broken_chain", make(3, bytes(32), WIDE)),
        ("broken_chain", make(2 + 1_000_001, bytes(32), WIDE)),
        ("broken_chain", make(2**53, bytes(32), WIDE)),
        ("broken_chain", make(2**63 - 1, bytes(32), WIDE)),
        ("wrong_org", make(3, newest, WIDE, org="other")),
        ("wrong_vault", make(3, newest, WIDE, vault="other")),
        ("expired", make(3, newest, WIDE, expires=ms - 1)),
        ("not_yet_valid", make(3, newest, WIDE, not_before=ms + 10**7, expires=ms + 10**8)),
    ]
    for reason, signed in cases:
        status = await prey.bundle(signed)
        assert (status.phase, status.reason) == (PolicyPhase.REFUSED, reason)
    for bad in (
        document(program="/bin/sh"),
        document(connection_string="postgresql://villain/db"),
        document(audit={"log_file": "/dev/null"}),
        document(rotator={"code": "import os"}),
        in_a_rule(template="{{ env }}"),
        in_a_rule(path="/etc/freehold/vault.yaml"),
        b"rules: [!!python/object/apply:os.system [id]]",
        {"name": "../../etc/passwd", "rules": [EVERYTHING]},
        {"name": "root", "rules": [EVERYTHING]},
    ):
        status = await prey.bundle(prey.villain.bundle(3, newest, bad))
        assert status.phase is PolicyPhase.REFUSED, bad
    assert await prey.version() == 2


async def ordered_about(prey: Prey) -> None:
    """Commands: what the owner has not allowed is not done; there is none with an argument."""
    assert await prey.command(CommandName.ROTATE_KEK) is CommandOutcome.REFUSED
    assert await prey.command(CommandName.RUN_BACKUP) is CommandOutcome.REFUSED
    assert await prey.command(CommandName.SEND_METRICS, expires=1) is CommandOutcome.EXPIRED
    assert await prey.command(CommandName.SEND_METRICS) is CommandOutcome.DONE


async def crowned(prey: Prey) -> None:
    """A root of the stolen intermediate's key and name, proven by the intermediate's certificate.

    The agent takes no certificate of it and goes on asking; one of the real root it takes.
    """
    villain, files = prey.villain, prey.agent.folder / "uplink"
    roots, held = ((files / name).read_bytes() for name in ("roots.pem", "agent.crt"))
    villain.crowned = True
    assert await prey.command(CommandName.RENEW_CERTIFICATE) is CommandOutcome.DONE
    await villain.until(lambda: villain.grants > 1)
    assert [(files / name).read_bytes() for name in ("roots.pem", "agent.crt")] == [roots, held]
    villain.crowned = False
    await villain.until(lambda: (files / "agent.crt").read_bytes() != held)
    assert (files / "roots.pem").read_bytes() == roots


Spoil = Callable[[Grip], list[bytes]]


async def fooled(prey: Prey) -> None:
    """Frames that must end the connection, each with its fault; the agent comes back each time."""
    villain = prey.villain
    for fault, spoil in FRAMES:
        villain.ends.clear()
        with trio.fail_after(90):
            while not any(fault in end for end in villain.ends):  # or it had left just before
                grip = await villain.grip()
                await grip.send(spoil(grip))
                await villain.until(lambda grip=grip: villain.live is not grip)
                await trio.sleep(0.1)  # `listen` tells why after the session is over


def saying(name: str, payload: dict[str, Any], *, durable: bool = False) -> Spoil:
    """Signed as it must be, saying what cannot be said."""

    def spoil(grip: Grip) -> list[bytes]:
        raw = Raw(msgspec.msgpack.encode(payload, order="sorted"))
        number = grip.villain.said + 1 if durable else 0
        return [grip.forged(message_type=name, payload=raw, id=number)]

    return spoil


SHELL = {"command": "run_shell", "command_id": bytes(16), "expires_at": 2**62}
ARGUED = {"argument": "/etc", "command": "send_metrics", "command_id": bytes(16), "expires_at": 1}
HONEST = Raw(
    encode_payload(
        m.Command(command_id=bytes(16), command=CommandName.SEND_METRICS, expires_at=2**62)
    )
)
FRAMES: list[tuple[str, Spoil]] = [
    ("signature", lambda grip: [bytes(64) + grip.ping()[64:]]),
    ("sequence", lambda grip: [grip.ping()] * 2),
    ("sequence", lambda grip: [grip.ping(), grip.ping()][::-1]),
    ("session", lambda grip: [grip.forged(session=bytes(16))]),
    ("vault", lambda grip: [grip.forged(vault_id="other")]),
    ("clock", lambda grip: [grip.forged(timestamp=1)]),
    ("malformed", saying("read_secret", {"path": "secret/app"})),
    ("malformed", saying("command", SHELL, durable=True)),
    ("malformed", saying("command", ARGUED, durable=True)),
    ("direction", saying("registration", {})),
    ("state", saying("pong", {"number": 10**6})),
    ("gap", lambda grip: [grip.forged(message_type="command", payload=HONEST, id=10**6)]),
]
