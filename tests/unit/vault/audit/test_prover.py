"""Proofs for whoever asks an open vault."""

from pathlib import Path

import pytest

from actors.world import SystemWorld
from vault.audit.proof import verify_proof
from vault.audit.testing import make_keys, write_log
from vault.audit.verification import make_prover
from vault.errors import NotFoundError, TamperedError

KEYS = make_keys()


async def test_a_record_is_proven_or_it_is_said_why_not(tmp_path: Path) -> None:
    """One that is not there is not found; a log that was changed proves nothing."""
    log = tmp_path / "audit.log"
    write_log(log, 12, batch=3)
    prove = make_prover(log, KEYS, SystemWorld())
    assert verify_proof(await prove(7), KEYS, KEYS.public).seq == 7
    with pytest.raises(NotFoundError):
        await prove(10_000)
    log.write_bytes(log.read_bytes().replace(b"alice", b"mally", 1))
    with pytest.raises(TamperedError):
        await prove(7)
