"""Agents over real TLS, against the control plane as a process of its own."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.link import limits
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import AcceptedVersion
from protocols.link.errors import TransportError
from protocols.link.session import LinkSession
from protocols.link.signing import sha256
from protocols.link_transport.network import connect
from protocols.link_transport.tls_contexts import agent_context, pinned_context
from protocols.pki.keys import KeyKind, new_curve_key
from protocols.pki.requests import create_csr
from protocols.pki.trust import TrustStore
from tests.acceptance.agent import own_folder, running
from tests.acceptance.control.linked import (
    WORLD,
    Linked,
    Talk,
    ask,
    b64,
    heartbeat,
    now,
    registration,
)
from tests.acceptance.control.plane import Plane, dev_plane

BASE = "organizations/acme"
DOCUMENT = {"rules": [{"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}]}


@pytest.fixture(scope="module")
def linked_plane() -> Iterator[Plane]:
    """One for all tests of this module that do not kill it; late after 2 s, offline after 10."""
    with own_folder() as path:
        made = dev_plane(path, "--heartbeat", "1s", "--offline-after", "10s")
        with running(made):
            made.sign_in()
            made.organization("acme")
            yield made


def newcomer(plane: Plane, folder: Path, vault: str, base: str = BASE) -> Linked:
    """An enrolled agent."""
    made = plane.want(201, "POST", f"{base}/enrolment-tokens", {"vault": vault, "replace": True})
    agent = Linked(folder / vault, plane.link_port, made["pin"])
    agent.enrol(made["secret"])
    return agent


def push(plane: Plane, name: str, *vaults: str) -> None:
    """The next version of a policy for these agents."""
    made = plane.want(201, "POST", f"{BASE}/policies/{name}/versions", {"document": DOCUMENT})
    targets = [{"vault": vault} for vault in vaults]
    plane.want(200, "PUT", f"{BASE}/policies/{name}/targets", {"targets": targets})
    plane.want(201, "POST", f"{BASE}/policies/{name}/rollouts", {"version": made["version"]})


async def shown(plane: Plane, vault: str, **wanted: Any) -> None:
    """Wait until the control plane shows the agent like this."""
    with trio.fail_after(90):
        while True:
            row = plane.want(200, "GET", f"{BASE}/agents/{vault}")
            policy = plane.ask("GET", f"{BASE}/agents/{vault}/policy")
            if policy.status == 200:
                row = row | policy.json
            if wanted.items() <= row.items():
                return
            await trio.sleep(0.1)


async def alerted(plane: Plane, vault: str, code: str, state: str = "firing") -> dict[str, Any]:
    """Wait until the agent has one alert of this code, and it is so."""
    with trio.fail_after(90):
        while True:
            found = plane.want(200, "GET", f"{BASE}/alerts?vault={vault}")
            mine = [row for row in found if row["code"] == code]
            if [row["state"] for row in mine] == [state]:
                only: dict[str, Any] = mine[0]
                return only
            await trio.sleep(0.1)


async def test_a_policy_is_applied_by_both_and_shown_as_applied(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """From tokens to a policy in force, over real TLS."""
    plane = linked_plane
    one, two = newcomer(plane, tmp_path, "p-one"), newcomer(plane, tmp_path, "p-two")
    async with one.connected() as first, two.connected() as second:
        push(plane, "both", "p-one", "p-two")
        await first.until(lambda: one.bundles)
        await second.until(lambda: two.bundles)
        for vault in ("p-one", "p-two"):
            await shown(plane, vault, outcome="applied", applied_version=1)


async def test_a_silent_agent_is_late_then_offline_and_back(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """By the rule, with one alert from its silence to its return."""
    plane = linked_plane
    agent = newcomer(plane, tmp_path, "quiet")
    async with agent.connected():
        await shown(plane, "quiet", state="online")
    await shown(plane, "quiet", state="late")
    await shown(plane, "quiet", state="offline")
    await alerted(plane, "quiet", "agent_offline")
    async with agent.connected() as talk:
        await talk.say(heartbeat())
        await shown(plane, "quiet", state="online")
    over = await alerted(plane, "quiet", "agent_offline", "resolved")
    assert over["duration"] is not None
    assert over["count"] == 1


async def test_a_lock_cuts_the_link_and_a_replacing_token_lets_in(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """The old certificate gets nobody in, neither to the link nor to a renewal."""
    plane = linked_plane
    agent = newcomer(plane, tmp_path, "lost")
    async with agent.connected() as talk:
        plane.want(200, "POST", f"{BASE}/agents/lost/lock", {"reason": "lost"})
        with trio.fail_after(30):
            await talk.ended.wait()
    async with trio.open_nursery() as nursery:
        talk = await agent.dial(nursery)
        nursery.start_soon(talk.run)
        with trio.fail_after(30):
            await talk.ended.wait()
        assert not talk.opened.is_set()
        assert "refused" in talk.why
        nursery.cancel_scope.cancel()
    status, _ = agent.renew()
    assert status == 403
    again = newcomer(plane, tmp_path / "anew", "lost")
    async with again.connected():
        await shown(plane, "lost", life="active", presence="online")


async def test_a_certificate_that_two_use_locks_the_agent(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """The thief renews, the agent goes on with what it had: nobody knows who is who."""
    plane = linked_plane
    agent = newcomer(plane, tmp_path, "stolen")
    thief = newcomer_copy(agent)
    status, answer = thief.renew()
    assert status == 200
    thief.take(answer)
    async with thief.connected():
        pass
    async with trio.open_nursery() as nursery:
        talk = await agent.dial(nursery)
        nursery.start_soon(talk.run)
        with trio.fail_after(30):
            await talk.ended.wait()
        nursery.cancel_scope.cancel()
    await shown(plane, "stolen", life="locked")
    await alerted(plane, "stolen", "agent_locked")


def newcomer_copy(agent: Linked) -> Linked:
    """Whoever has the agent's files."""
    copy = Linked(agent.folder / "copy", agent.port, agent.pin)
    copy.key, copy.link_key, copy.leaf_key = agent.key, agent.link_key, agent.leaf_key
    copy.grant = agent.grant
    for name in ("agent.pem", "agent.key"):
        (copy.folder / name).write_bytes((agent.folder / name).read_bytes())
        (copy.folder / name).chmod(0o600)
    return copy


async def broken_by(agent: Linked, spoil: Any) -> str:
    """Why the control plane ends a connection whose frames are spoilt."""
    async with agent.connected() as talk:
        await spoil(talk)
        with trio.fail_after(30):
            await talk.ended.wait()
        return talk.why


async def forged(talk: Talk) -> None:
    """A frame that another key has signed."""
    await talk.pipe.send(os.urandom(64) + b"\x80")


async def replayed(talk: Talk) -> None:
    """A good frame, twice."""
    talk.session.send_message(heartbeat())
    frames = talk.session.take_frames(now())
    for frame in [*frames, frames[-1]]:
        await talk.pipe.send(frame)


async def left_out(talk: Talk) -> None:
    """The second of two, without the first."""
    talk.session.send_message(heartbeat())
    talk.session.send_message(heartbeat())
    frames = talk.session.take_frames(now())
    for frame in [*frames[:-2], frames[-1]]:
        await talk.pipe.send(frame)


async def huge(talk: Talk) -> None:
    """More than a frame may have.

    By one byte: what a peer has not read when it closes makes TCP reset the connection, and the
    word of the close can be lost with it.
    """
    with contextlib.suppress(TransportError):
        await talk.pipe.send(bytes(limits.MAX_FRAME + 1))


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [(forged, "signature"), (replayed, "sequence"), (left_out, "sequence"), (huge, "1009")],
)
async def test_forged_replayed_and_missing_frames_end_the_connection(
    linked_plane: Plane, tmp_path: Path, spoil: Any, fault: str
) -> None:
    """With the fault's word; nothing of them is taken, and the agent comes back."""
    agent = newcomer(linked_plane, tmp_path, f"bad-{spoil.__name__.replace('_', '-')}")
    assert fault in await broken_by(agent, spoil)
    async with agent.connected() as talk:
        await talk.say(heartbeat())


async def test_a_recorded_greeting_leads_nowhere(linked_plane: Plane, tmp_path: Path) -> None:
    """On another connection of the same agent: there is no proof behind it."""
    agent = newcomer(linked_plane, tmp_path, "recorded")
    async with trio.open_nursery() as nursery:
        first = await agent.dial(nursery)
        [hello] = first.session.take_frames(now())
        second = await agent.dial(nursery)
        await second.pipe.send(hello)
        await second.pipe.receive()  # a welcome to whoever that is
        nursery.cancel_scope.cancel()
    row = linked_plane.want(200, "GET", f"{BASE}/agents/recorded")
    assert row["presence"] == "unknown"


async def test_an_agent_cannot_speak_for_another(linked_plane: Plane, tmp_path: Path) -> None:
    """The certificate says who it is; its link key and its words must be of the same agent."""
    one, two = newcomer(linked_plane, tmp_path, "a-one"), newcomer(linked_plane, tmp_path, "a-two")
    async with trio.open_nursery() as nursery:
        pipe = await connect(nursery, "127.0.0.1", one.port, one.context)
        talk = Talk(two, pipe, await two.end(pipe))
        nursery.start_soon(talk.run)
        with trio.fail_after(30):
            await talk.ended.wait()
        nursery.cancel_scope.cancel()
    assert not talk.opened.is_set()
    assert isinstance(talk.session, LinkSession)


async def test_without_a_certificate_there_is_the_desk_and_no_link(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """Nor with one of an authority that is not ours."""
    agent = newcomer(linked_plane, tmp_path, "naked")
    assert agent.grant is not None
    trust = TrustStore.from_pin([agent.grant.chain[0], *agent.grant.roots], agent.pin)
    async with trio.open_nursery() as nursery:
        with pytest.raises(TransportError):
            await connect(nursery, "127.0.0.1", agent.port, agent_context(None, trust, WORLD.now))
    csr = {"csr": b64(create_csr(new_curve_key(KeyKind.LEAF)))}
    status, _ = ask(agent.port, "renew", csr, pinned_context(agent.pin, WORLD.now))
    assert status == 401


async def test_a_second_connection_takes_over(linked_plane: Plane, tmp_path: Path) -> None:
    """The first is told that it was replaced."""
    agent = newcomer(linked_plane, tmp_path, "twice")
    async with agent.connected() as first, agent.connected() as second:
        with trio.fail_after(30):
            await first.ended.wait()
        push(linked_plane, "twice", "twice")
        await second.until(lambda: agent.bundles == [1])


async def test_a_person_lets_in_who_asks_to_join(linked_plane: Plane, tmp_path: Path) -> None:
    """By the fingerprint that the agent shows; another one is refused."""
    plane = linked_plane
    agent = Linked(tmp_path / "joins", plane.link_port, "")
    agent.pin = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": "x"})["pin"]
    context = pinned_context(agent.pin, WORLD.now)
    body = {**agent.binding(), "org": "acme", "label": "rack-7"}
    status, _ = ask(agent.port, "join", body, context)
    assert status == 202
    [row] = plane.want(200, "GET", f"{BASE}/joins")
    decision = {"fingerprint": "0000-0000-0000-0000-0000", "vault": "joined"}
    plane.want(409, "POST", f"{BASE}/joins/{row['id']}/approve", decision)
    decision["fingerprint"] = row["fingerprint"]
    plane.want(200, "POST", f"{BASE}/joins/{row['id']}/approve", decision)
    status, answer = ask(agent.port, "join", body, pinned_context(agent.pin, WORLD.now))
    assert status == 200
    agent.take(answer)
    async with agent.connected():
        await shown(plane, "joined", presence="online")


async def test_a_command_is_carried_out_once_and_its_result_is_shown(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """It waits for an agent that is away."""
    plane, agent = linked_plane, newcomer(linked_plane, tmp_path, "told")
    path = f"{BASE}/agents/told/commands"
    plane.want(400, "POST", path, {"command": "run_shell"})
    asked = plane.want(201, "POST", path, {"command": "run_backup"})
    async with agent.connected() as talk:
        await talk.until(lambda: any(isinstance(x, m.Command) for x in agent.heard))
        result = m.CommandResult(
            command_id=bytes.fromhex(asked["id"]), outcome=words.CommandOutcome.REFUSED, at=1
        )
        await talk.say(result)
        await talk.until(lambda: not agent.outbox.entries)
    [row] = plane.want(200, "GET", path)
    assert row["outcome"] == "refused"
    assert "control_plane.allow_commands" in row["reason"]


async def test_three_enrolments_get_one_history_of_a_log_cosigned(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """At the same moment, at one size; alerts tell each side of the other, and no more of it."""
    plane = linked_plane
    plane.organization("globex")
    key = Ed25519PrivateKey.generate()
    forks = {
        "log-a": newcomer(plane, tmp_path, "log-a"),
        "log-b": newcomer(plane, tmp_path, "log-b"),
        "log-c": newcomer(plane, tmp_path, "log-c", "organizations/globex"),
    }

    async def show(vault: str) -> None:
        async with forks[vault].connected() as talk:
            await talk.say(checkpoint(key, 7, vault))
            await talk.until(
                lambda: any(
                    isinstance(one, m.CheckpointCosignature | m.Notification)
                    for one in forks[vault].heard
                )
            )

    async with trio.open_nursery() as nursery:
        for vault in forks:
            nursery.start_soon(show, vault)
    cosigned = [
        vault
        for vault, agent in forks.items()
        if any(isinstance(one, m.CheckpointCosignature) for one in agent.heard)
    ]
    assert len(cosigned) == 1
    [owner] = cosigned
    base = "organizations/globex" if owner == "log-c" else BASE
    last = plane.want(200, "GET", f"{base}/agents/{owner}/checkpoint")
    assert (last["size"], last["fault"], last["disputed"]) == (7, "", True)
    found: dict[str, list[str]] = {}
    reports: dict[str, int] = {}
    for vault in forks:
        base = "organizations/globex" if vault == "log-c" else BASE
        rows = plane.want(200, "GET", f"{base}/alerts?vault={vault}")
        assert {(row["code"], row["severity"]) for row in rows} == {("audit_fork", "critical")}
        found[vault] = [row["message"] for row in rows]
        reports[vault] = sum(row["count"] for row in rows)
    assert reports == {vault: 2 if [vault] == cosigned else 1 for vault in forks}
    for vault in cosigned:  # an alert for each of its own organization, one for all others
        others = {"log-a", "log-b"} - {vault} if vault != "log-c" else set()
        assert len(found[vault]) == len(others) + 1
        assert all(any(f"agent {one} " in text for text in found[vault]) for one in others)
    for vault, told in found.items():
        for text in told:
            if vault == "log-c":
                assert "log-a" not in text
                assert "log-b" not in text
                assert "acme" not in text
            else:
                assert "log-c" not in text
                assert "globex" not in text


async def test_an_agent_that_says_what_was_never_issued_is_unknown(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """By its registration or its status; what it really has is heard again."""
    plane, agent = linked_plane, newcomer(linked_plane, tmp_path, "liar")
    async with agent.connected() as talk:
        push(plane, "liar", "liar")
        await talk.until(lambda: agent.bundles == [1])
        await shown(plane, "liar", outcome="applied")
        honest = agent.stored
    for version in (2**63 - 1, 2**53):
        agent.stored = AcceptedVersion(version, b"x" * 32)
        async with agent.connected():
            await shown(plane, "liar", outcome="unknown", reason="not_issued", applied_version=1)
        agent.stored = honest
        async with agent.connected() as talk:
            await shown(plane, "liar", outcome="applied")
            await talk.say(
                m.PolicyStatus(
                    version=version, bundle_hash=b"x" * 32, phase=words.PolicyPhase.APPLIED,
                    reason=words.PolicyReason.NONE, narrowed=0, at=now().wall_ms,
                )
            )  # fmt: skip
            await shown(plane, "liar", outcome="unknown")
        async with agent.connected():
            await shown(plane, "liar", outcome="applied")
    await alerted(plane, "liar", "policy_not_issued")
    codes = [row["code"] for row in plane.want(200, "GET", f"{BASE}/alerts?vault=liar")]
    assert codes.count("policy_not_issued") == 1
    assert set(codes) <= {"policy_not_issued", "agent_offline"}  # it is away for a while each time


async def test_two_registrations_of_one_session_end_it(linked_plane: Plane, tmp_path: Path) -> None:
    """Each costs a write, and may have the bundle sent anew."""
    agent = newcomer(linked_plane, tmp_path, "eager")
    async with agent.connected() as talk:
        talk.session.send_message(registration(agent))
        await talk.say(registration(agent))
        with trio.fail_after(30):
            await talk.ended.wait()
        assert "flood" in talk.why


async def test_a_cursor_beyond_all_that_was_sent_begins_a_new_stream(
    linked_plane: Plane, tmp_path: Path
) -> None:
    """The agent knows ids that were never given here: what it is owed comes all the same."""
    agent = newcomer(linked_plane, tmp_path, "knowing")
    async with agent.connected() as talk:
        push(linked_plane, "knowing", "knowing")
        await talk.until(lambda: agent.bundles == [1])
    stream = (await agent.inbox.cursor()).stream
    for place, applied in enumerate((2**40, 2**63 - 1)):
        await agent.inbox.apply(stream, applied, None)
        async with trio.open_nursery() as nursery:
            talk = await agent.dial(nursery)
            nursery.start_soon(talk.run)
            with trio.fail_after(30):
                await talk.ended.wait()
            assert "1000" in talk.why
            nursery.cancel_scope.cancel()
        push(linked_plane, f"knowing-{place}", "knowing")
        async with agent.connected() as talk:
            await talk.until(lambda: len(agent.bundles) > 1)
        fresh = await agent.inbox.cursor()
        assert fresh.stream != stream
        assert fresh.applied < 10
        stream = fresh.stream
        agent.bundles[:] = [1]


def checkpoint(key: Ed25519PrivateKey, size: int, seed: str) -> m.AuditCheckpoint:
    """A state of the log `freehold.audit/shared/n`, signed by its key."""
    origin, root = "freehold.audit/shared/n", sha256(seed.encode())
    public = key.public_key().public_bytes_raw()
    text = f"{origin}\n{size}\n{b64(root)}\nhead {'0' * 64}\ntime 2026-11-24T19:00:00.000Z\n"
    key_id = sha256(origin.encode() + b"\n\x01" + public)[:4]
    line = b64(key_id + key.sign(text.encode()))
    return m.AuditCheckpoint(
        old_size=0, size=size, root=root, note=f"{text}\n— {origin} {line}\n", signer=public,
        proof=(),
    )  # fmt: skip
