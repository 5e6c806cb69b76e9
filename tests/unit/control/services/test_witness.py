"""The witness signs what grew, and nothing that went back or split."""

import base64
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.crypto import sha256
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.agents import Life
from control.model.records import Severity, WitnessedCheckpoint
from control.services.witness import (
    LogFault,
    PresentedCheckpoint,
    Witness,
    accept_new_log,
    parse_checkpoint,
)
from control.store import audit_records
from control.store.alerts import AlertFilter
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.merkle import Frontier, ProofBuilder, consistency_ranges, leaf_hash
from tests.unit.control.fleet import enrolled

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
LOG, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def leaves(count: int, seed: str = "") -> list[bytes]:
    """A log's leaves."""
    return [leaf_hash(sha256, f"{seed}{number}".encode()) for number in range(count)]


def signed(vault: str, text: str, key: Ed25519PrivateKey = LOG) -> str:
    """The note of this text (C2SP signed-note)."""
    name = f"freehold.audit/{vault}"
    public = key.public_key().public_bytes_raw()
    key_id = sha256(name.encode() + b"\n\x01" + public)[:4]
    line = base64.b64encode(key_id + key.sign(text.encode())).decode()
    return f"{text}\n— {name} {line}\n"


def shown(
    log: Sequence[bytes], old: int, vault: str = "v1", key: Ed25519PrivateKey = LOG
) -> PresentedCheckpoint:
    """The log's checkpoint, proven from `old`."""
    tree = Frontier(sha256)
    for leaf in log:
        tree.append(leaf)
    root = base64.b64encode(tree.root()).decode()
    text = f"freehold.audit/{vault}\n{len(log)}\n{root}\nhead 00\ntime t\n"
    note = signed(vault, text, key)
    proof: list[bytes] = []
    if 0 < old < len(log):
        collector = ProofBuilder(sha256, consistency_ranges(old, len(log)), Frontier(sha256))
        for leaf in log:
            collector.add_leaf(leaf)
        proof = list(collector.proof_hashes())
    return PresentedCheckpoint(note, key.public_key().public_bytes_raw(), old, proof)


async def cosign(
    core: Core,
    world: FakeWorld,
    what: PresentedCheckpoint,
    *,
    org: str = "acme",
    vault: str = "v1",
) -> WitnessedCheckpoint | LogFault:
    """By a witness of ours, for this enrolment."""
    witness = Witness("w", PUBLIC, KEY.sign)
    return await core.store.write(
        lambda tx: witness.cosign_checkpoint(tx, org, vault, what, now=world.now())
    )


async def test_a_log_that_grows_is_cosigned(core: Core, world: FakeWorld) -> None:
    """Also when it is shown twice, or with a proof over several sizes."""
    log = leaves(12)
    for size, old in ((3, 0), (3, 3), (7, 3), (12, 7)):
        seen = await cosign(core, world, shown(log[:size], old))
        assert isinstance(seen, WitnessedCheckpoint)
        assert seen.size == size


@pytest.mark.parametrize(
    ("log", "old", "kind"),
    [(leaves(5), 7, "rollback"), (leaves(7, "x"), 7, "fork"), (leaves(9, "x"), 7, "fork")],
)
async def test_a_log_that_contradicts_is_told(
    core: Core, world: FakeWorld, log: list[bytes], old: int, kind: str
) -> None:
    """It gets nothing any more, not even for the true log, until a person has looked."""
    await cosign(core, world, shown(leaves(7), 0))
    fault = await cosign(core, world, shown(log, old))
    assert isinstance(fault, LogFault)
    assert fault.kind == kind
    with pytest.raises(ConflictError, match="log_faulty"):
        await cosign(core, world, shown(leaves(8), 7))
    await core.store.write(lambda tx: accept_new_log(tx, "acme", "v1"))
    assert isinstance(await cosign(core, world, shown(leaves(8), 0)), WitnessedCheckpoint)


async def test_a_stale_proof_is_no_fork(core: Core, world: FakeWorld) -> None:
    """The agent did not hear of our last line; it is told where to prove from."""
    await cosign(core, world, shown(leaves(7), 0))
    with pytest.raises(ConflictError) as stale:
        await cosign(core, world, shown(leaves(9), 3))
    assert stale.value.details["size"] == 7


@pytest.mark.parametrize("note", ["", "a\n1\nAA==\n\n— x y\n", "a\n01\n" + "A" * 43 + "=\n\n— x\n"])
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    """With a typed error."""
    with pytest.raises(ValidationError):
        parse_checkpoint(note)


async def test_another_agents_log_is_refused(core: Core, world: FakeWorld) -> None:
    """The first checkpoint names the log; a second log is a fork, another kind is nothing."""
    odd = shown(leaves(3), 0)
    with pytest.raises(ValidationError, match="another log"):
        await cosign(core, world, replace(odd, note=odd.note.replace("freehold.audit/", "x/")))
    assert isinstance(await cosign(core, world, odd), WitnessedCheckpoint)
    assert isinstance(await cosign(core, world, shown(leaves(5), 3, vault="v2")), LogFault)


async def test_the_line_verifies_as_c2sp_has_it(core: Core, world: FakeWorld) -> None:
    """Key id, time and a signature over `cosignature/v1`, the time and the note's text."""
    seen = await cosign(core, world, shown(leaves(3), 0))
    assert isinstance(seen, WitnessedCheckpoint)
    line = Witness("w", PUBLIC, KEY.sign).cosignature_line(seen)
    blob = base64.b64decode(line.split(" ")[2])
    seconds = int.from_bytes(blob[4:12], "big")
    assert (seconds, line[:4]) == (world.now() // SECOND, "— w ")
    assert blob[:4] == sha256(b"w\n\x04" + PUBLIC)[:4]
    text = seen.note.split("\n\n")[0].encode() + b"\n"
    KEY.public_key().verify(blob[12:], f"cosignature/v1\ntime {seconds}\n".encode() + text)


async def test_the_logs_own_key_must_have_signed(core: Core, world: FakeWorld) -> None:
    """Another's signature, another key beside it, another text under it: no checkpoint."""
    good = shown(leaves(3), 0)
    other = shown(leaves(3), 0, key=OTHER)
    longer = shown(leaves(4), 0)
    forged = longer.note.partition("\n\n")[0] + "\n\n" + good.note.partition("\n\n")[2]
    for bad in (
        replace(good, signer=other.signer),
        replace(good, note=other.note),
        replace(good, note=forged),
        replace(good, note=good.note.replace("— freehold.audit/v1 ", "— freehold.audit/v2 ")),
        replace(good, note=good.note.partition("— ")[0] + "— freehold.audit/v1 !!\n"),
        replace(good, signer=b"short"),
    ):
        with pytest.raises(ValidationError, match="checkpoint_invalid"):
            await cosign(core, world, bad)
    assert isinstance(await cosign(core, world, good), WitnessedCheckpoint)


async def test_another_key_is_a_fault_until_a_person_has_looked(
    core: Core, world: FakeWorld
) -> None:
    """The log would have grown truly: whoever signs it is not who did. Then it is pinned anew."""
    assert isinstance(await cosign(core, world, shown(leaves(3), 0)), WitnessedCheckpoint)
    changed = shown(leaves(5), 3, key=OTHER)
    fault = await cosign(core, world, changed)
    assert isinstance(fault, LogFault)
    assert fault.kind == "key"
    with pytest.raises(ConflictError, match="log_faulty"):
        await cosign(core, world, shown(leaves(5), 3))
    await core.store.write(lambda tx: accept_new_log(tx, "acme", "v1"))
    seen = await cosign(core, world, changed)
    assert isinstance(seen, WitnessedCheckpoint)
    assert seen.signer == changed.signer


ENROLMENTS = [("acme", "v2"), ("other", "v1")]


@pytest.mark.parametrize(("org", "vault"), ENROLMENTS)
@pytest.mark.parametrize(
    ("log", "old", "kind"),
    [(leaves(7, "x"), 0, "fork"), (leaves(5), 0, "rollback"), (leaves(9, "x"), 7, "fork")],
)
async def test_a_second_enrolment_gets_no_second_history_of_a_log_cosigned(
    core: Core,
    world: FakeWorld,
    org: str,
    vault: str,
    log: list[bytes],
    old: int,
    kind: str,
) -> None:
    """The first one's goes on; the second gets nothing, whatever it shows then."""
    await cosign(core, world, shown(leaves(7), 0))
    fault = await cosign(core, world, shown(log, old), org=org, vault=vault)
    assert fault == LogFault(kind, 7, len(log), "acme", "v1")
    with pytest.raises(ConflictError, match="log_faulty"):
        await cosign(core, world, shown(leaves(8), 7), org=org, vault=vault)
    assert isinstance(await cosign(core, world, shown(leaves(9), 7)), WitnessedCheckpoint)
    named = await core.store.read(lambda tx: audit_records.get_checkpoint(tx, org, vault))
    assert named is not None
    with pytest.raises(ValueError, match="nothing of this log"):
        Witness("w", PUBLIC, KEY.sign).cosignature_line(named)


@pytest.mark.parametrize(("org", "vault"), ENROLMENTS)
async def test_an_agent_that_enrols_again_goes_on_where_its_log_was_cosigned(
    core: Core, world: FakeWorld, org: str, vault: str
) -> None:
    """It has nothing cosigned by then, so it is told from which size to prove."""
    await cosign(core, world, shown(leaves(7), 0))
    with pytest.raises(ConflictError, match="proof_stale") as stale:
        await cosign(core, world, shown(leaves(9), 0), org=org, vault=vault)
    assert stale.value.details["size"] == 7
    seen = await cosign(core, world, shown(leaves(9), 7), org=org, vault=vault)
    assert isinstance(seen, WitnessedCheckpoint)
    assert isinstance(await cosign(core, world, shown(leaves(9), 7)), WitnessedCheckpoint)
    fault = await cosign(core, world, shown(leaves(7), 0))
    assert fault == LogFault("rollback", 9, 7, "acme", "v1")


async def test_what_an_older_process_has_cosigned_counts(core: Core, world: FakeWorld) -> None:
    """It notes that of the agent alone, while both run on one database."""
    await cosign(core, world, shown(leaves(7), 0))

    def older(tx: Tx) -> None:
        row = audit_records.get_checkpoint(tx, "acme", "v1")
        assert row is not None
        later = shown(leaves(9), 7)
        root = parse_checkpoint(later.note).root
        audit_records.put_checkpoint(tx, replace(row, size=9, root=root, note=later.note))

    await core.store.write(older)
    fork = leaves(8) + leaves(9, "x")[8:] + leaves(10)[9:]
    assert isinstance(await cosign(core, world, shown(fork, 9)), LogFault)


async def test_logs_of_one_name_and_two_keys_are_two_logs(core: Core, world: FakeWorld) -> None:
    """Nobody without a log's key can have it refused."""
    await cosign(core, world, shown(leaves(7), 0))
    foreign = shown(leaves(5, "x"), 0, key=OTHER)
    assert isinstance(await cosign(core, world, foreign, org="other"), WitnessedCheckpoint)
    assert isinstance(await cosign(core, world, shown(leaves(9), 7)), WitnessedCheckpoint)


async def test_a_person_accepts_only_what_was_cosigned_for_the_own_organization(
    core: Core, world: FakeWorld
) -> None:
    """The other one's log is not accepted with it: only its people can have it begin anew."""
    await cosign(core, world, shown(leaves(7), 0))
    other = shown(leaves(7, "x"), 0)
    assert isinstance(await cosign(core, world, other, org="other"), LogFault)
    with pytest.raises(ConflictError, match="log_faulty"):
        await cosign(core, world, other, org="other")
    await core.store.write(lambda tx: accept_new_log(tx, "other", "v1"))
    assert isinstance(await cosign(core, world, other, org="other"), LogFault)
    await core.store.write(lambda tx: accept_new_log(tx, "acme", "v1"))
    await core.store.write(lambda tx: accept_new_log(tx, "other", "v1"))
    assert isinstance(await cosign(core, world, other, org="other"), WitnessedCheckpoint)
    assert isinstance(await cosign(core, world, shown(leaves(7), 0)), LogFault)


async def test_a_person_accepts_at_either_agent_of_one_organization(
    core: Core, world: FakeWorld
) -> None:
    """Restored from a backup and enrolled under another name: one decision is enough."""
    await cosign(core, world, shown(leaves(7), 0))
    restored = shown(leaves(5), 0)
    assert isinstance(await cosign(core, world, restored, vault="v2"), LogFault)
    await core.store.write(lambda tx: accept_new_log(tx, "acme", "v2"))
    assert isinstance(await cosign(core, world, restored, vault="v2"), WitnessedCheckpoint)


async def firing(core: Core, org: str = "acme") -> list[tuple[str, str]]:
    """Agent and code of what is not resolved."""
    found = await core.agents.alerts.list_alerts(
        org, vault="", before=0, limit=9, narrow=AlertFilter(state="open")
    )
    return sorted((alert.vault, alert.code) for alert in found)


async def test_the_alerts_of_a_fault_end_when_the_log_is_accepted(
    core: Core, world: FakeWorld
) -> None:
    """At the agent and at the one it was cosigned for; not by being seen, nor at a third one."""
    await cosign(core, world, shown(leaves(7), 0))
    for vault in ("v2", "v3"):
        assert isinstance(await cosign(core, world, shown(leaves(5), 0), vault=vault), LogFault)
    for vault in ("v1", "v2", "v3"):
        alert = core.agents.alerts.new_alert(
            "acme", vault, "audit_rollback", Severity.CRITICAL, "m"
        )
        await core.agents.alerts.fire_alerts(alert)
        await core.agents.alerts.acknowledge_alert("acme", alert.id, "acme/ann")
    assert [vault for vault, _ in await firing(core)] == ["v1", "v2", "v3"]
    await core.agents.alerts.accept_log("acme", "v2")
    assert await firing(core) == [("v3", "audit_rollback")]
    with pytest.raises(NotFoundError):
        await core.agents.alerts.accept_log("acme", "nobody")
    await core.agents.alerts.accept_log("acme", "v2")
    assert await firing(core) == [("v3", "audit_rollback")]
    await core.agents.alerts.accept_log("acme", "v3")
    assert await firing(core) == []


async def fire(core: Core, vault: str, org: str = "acme") -> None:
    """What `intake` fires for a log that contradicts."""
    await core.agents.alerts.fire_alerts(
        core.agents.alerts.new_alert(org, vault, "audit_fork", Severity.CRITICAL, "m")
    )


async def test_an_alert_whose_log_was_accepted_before_ends(core: Core, world: FakeWorld) -> None:
    """By a release that left it open: accepting is not refused for want of a fault."""
    await cosign(core, world, shown(leaves(7), 0))
    await fire(core, "v1")
    await core.agents.alerts.accept_log("acme", "v1")
    assert await firing(core) == []


async def test_an_enrolment_leaves_the_log_of_another_organization(
    core: Core, world: FakeWorld
) -> None:
    """Its alert ends, a log of its own is cosigned, and the other organization's alert stays."""
    await cosign(core, world, shown(leaves(7), 0))
    assert isinstance(await cosign(core, world, shown(leaves(7, "x"), 0), org="other"), LogFault)
    await fire(core, "v1")
    await fire(core, "v1", "other")
    await core.agents.alerts.accept_log("other", "v1")
    assert await firing(core, "other") == []
    assert await firing(core) == [("v1", "audit_fork")]
    own = shown(leaves(3, "own"), 0, "own")
    assert isinstance(await cosign(core, world, own, org="other"), WitnessedCheckpoint)
    await core.agents.alerts.accept_log("acme", "v1")
    assert await firing(core) == []


async def test_a_log_that_moved_to_another_organization_is_left_too(
    core: Core, world: FakeWorld
) -> None:
    """Ours has no fault then, but its log is disputed and is not ours any more."""
    await cosign(core, world, shown(leaves(7), 0))
    assert isinstance(await cosign(core, world, shown(leaves(7, "x"), 0), org="other"), LogFault)
    await cosign(core, world, shown(leaves(9), 7), org="third")
    await fire(core, "v1")
    await core.agents.alerts.accept_log("acme", "v1")
    assert await firing(core) == []
    signer = LOG.public_key().public_bytes_raw()
    log = await core.store.read(
        lambda tx: audit_records.get_witnessed_log(tx, "freehold.audit/v1", signer)
    )
    assert log is not None
    assert (log.disputed, log.size) == (True, 9)


async def test_a_log_of_two_enrolments_of_one_machine_is_accepted_once(
    core: Core, world: FakeWorld
) -> None:
    """The alert of the first name ends with it, and accepting there as well is no error."""
    await cosign(core, world, shown(leaves(7), 0))
    assert isinstance(await cosign(core, world, shown(leaves(7, "x"), 0), org="other"), LogFault)
    await fire(core, "v1")
    await cosign(core, world, shown(leaves(9), 7), vault="v2")
    await core.agents.alerts.accept_log("acme", "v2")
    assert await firing(core) == []
    await core.agents.alerts.accept_log("acme", "v1")


async def test_the_alerts_about_the_log_of_a_retired_agent_end(
    core: Core, world: FakeWorld
) -> None:
    """Nobody has to accept it first."""
    await enrolled(core, world, "v1")
    await cosign(core, world, shown(leaves(7), 0))
    assert isinstance(await cosign(core, world, shown(leaves(7, "x"), 0)), LogFault)
    await fire(core, "v1")
    await core.agents.registry.change_life("acme", "v1", Life.RETIRED, "scrapped")
    assert await firing(core) == []
