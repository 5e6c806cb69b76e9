"""Proofs that do not bear themselves out are named: records, checkpoints, the trail's end."""

from typing import Any

import pytest
from msgspec.structs import replace

from control.compliance import proofs
from control.compliance.report_file import parse_report_file
from control.core import Core
from control.model.compliance import (
    CheckpointProof,
    Evidence,
    Proof,
    Result,
    SettingProof,
    TrailProof,
)
from control.model.records import WitnessedCheckpoint
from control.store.audit_records import list_consistency_proofs
from tests.unit.control.compliance.conftest import made, noted
from tests.unit.control.services.test_witness import leaves, shown


def holding(*found: Proof) -> dict[str, Evidence]:
    """As evidence."""
    item = Evidence(
        id="x", title="", result=Result.MET, summary="", figures={}, proofs=found, total=len(found)
    )
    return {"x": item}


async def witnessed(core: Core) -> CheckpointProof:
    """An agent's log of five records that grew from three, cosigned each time."""
    log = leaves(5)
    for size, old in ((3, 0), (5, 3)):
        what = shown(log[:size], old)
        seen = await core.store.write(
            lambda tx, what=what: core.witness.cosign_checkpoint(
                tx, "acme", "v1", what, now=core.world.now()
            )
        )
        assert isinstance(seen, WitnessedCheckpoint)
    grown = (await core.store.read(lambda tx: list_consistency_proofs(tx, "acme")))["v1"]
    return proofs.checkpoint_proof(seen, grown, core.witness.cosignature_line(seen))


async def test_a_checkpoint_is_proven_whole(core: Core) -> None:
    """Size, root, both signatures and the growth; each of them edited is found."""
    _, body = await made(core)
    header, public = parse_report_file(body).header, core.compliance.reports.public_key
    proof = await witnessed(core)
    assert (proof.size, proof.grown_from) == (5, 3)
    assert list(proofs.find_faults(header, holding(proof), public)) == []
    edits: list[dict[str, Any]] = [
        {"size": 6}, {"root": "00" * 32}, {"signer": "00" * 32}, {"cosignature": ""},
        {"cosignature": proof.cosignature[:-8] + "AAAA\n"}, {"grown_root": "00" * 32},
        {"path": ("00" * 32,)}, {"root": "zz"}, {"note": "no note"}, {"grown_from": 4},
    ]  # fmt: skip
    for edit in edits:
        told = list(proofs.find_faults(header, holding(replace(proof, **edit)), public))
        assert told == ["evidence x: proof 1 (checkpoint) does not hold"], edit


@pytest.mark.parametrize("field", ["actor", "at", "org", "seq", "hash", "previous"])
async def test_a_record_is_held_against_its_hash(core: Core, field: str) -> None:
    """Of this organization, and before the trail's end."""
    await noted(core, "users.create")
    _, body = await made(core)
    header, public = parse_report_file(body).header, core.compliance.reports.public_key
    [event] = await core.audit.log.events_after("acme", 0, 1)
    proof = proofs.audit_proof(event)
    assert list(proofs.find_faults(header, holding(proof), public)) == []
    value = getattr(proof.record, field)
    other = value + 999 if isinstance(value, int) else "11" * 32
    edited = TrailProof(replace(proof.record, **{field: other}))
    assert len(list(proofs.find_faults(header, holding(edited), public))) == 1


async def test_a_record_behind_the_trails_end_proves_nothing(core: Core) -> None:
    """The signed head in the header says nothing of it, whole though it is."""
    await noted(core, "users.create")
    _, body = await made(core)
    header, public = parse_report_file(body).header, core.compliance.reports.public_key
    await noted(core, "users.delete")
    [last, *_] = await core.audit.log.newest_events("acme", 0, 1)
    assert last.seq > header.trail.size
    told = list(proofs.find_faults(header, holding(proofs.audit_proof(last)), public))
    assert told == ["evidence x: proof 1 (trail) does not hold"]


async def test_the_trails_end_is_signed(core: Core) -> None:
    """By this key; and what is said of it is what was signed."""
    _, body = await made(core)
    header, public = parse_report_file(body).header, core.compliance.reports.public_key
    assert list(proofs.find_faults(header, {}, public)) == []
    told = ["header: the trail's end is not signed by this key"]
    assert list(proofs.find_faults(header, {}, bytes(32))) == told
    edited = replace(header, trail=replace(header.trail, size=header.trail.size + 1))
    assert list(proofs.find_faults(edited, {}, public)) == told
    assert proofs.proof_kind(SettingProof("a", "b")) == "setting"
