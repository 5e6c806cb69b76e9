"""Inclusion proofs for whoever asks an open vault."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from actors.world import World
from vault.audit.errors import BadLogError
from vault.audit.keys import AuditKeys
from vault.audit.proof import Proof, prove_inclusion
from vault.errors import NotFoundError, TamperedError


def make_prover(log: Path, keys: AuditKeys, world: World) -> Callable[[int], Awaitable[Proof]]:
    """Proofs are made in a thread: the whole log is read and verified for each.

    They raise `NotFoundError` for a record that is not there, `TamperedError` for a damaged log.
    """

    async def proof_of(seq: int) -> Proof:
        try:
            return await world.run_sync(prove_inclusion, log, seq, keys, keys.public)
        except LookupError as error:
            raise NotFoundError("record_not_found", str(error)) from None
        except BadLogError as error:
            raise TamperedError("audit_tampered", f"the audit log is damaged: {error}") from None

    return proof_of
