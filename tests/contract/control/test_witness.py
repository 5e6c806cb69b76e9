"""What the witness remembers of logs, on each database and with two processes."""

import base64
from functools import partial
from pathlib import Path
from shutil import copy

import sqlalchemy as sa
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actors import SystemWorld
from control.crypto import sha256
from control.model.records import WitnessedCheckpoint, WitnessedLog
from control.services.witness import LogFault, PresentedCheckpoint, Witness
from control.store import audit_records
from control.store.engines import open_engines
from control.store.migrate import SCRIPTS, migrate
from control.store.rows import Tx
from control.store.store import Store, open_store

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
SIGNER = KEY.public_key().public_bytes_raw()
ORIGIN = "freehold.audit/v"
WITNESS = Witness("w", SIGNER, KEY.sign)


def note(size: int, seed: bytes) -> str:
    """A checkpoint that the log's key has signed."""
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(sha256(seed)).decode()}\n"
    key_id = sha256(ORIGIN.encode() + b"\n\x01" + SIGNER)[:4]
    line = base64.b64encode(key_id + KEY.sign(text.encode())).decode()
    return f"{text}\n— {ORIGIN} {line}\n"


async def test_processes_of_one_database_cosign_one_history(url: str) -> None:
    """Many enrolments show one log at one size with different roots at the same moment."""
    world = SystemWorld()
    outcomes: list[WitnessedCheckpoint | LogFault] = []

    async def show(store: Store, number: int) -> None:
        vault = f"v{number}"
        what = PresentedCheckpoint(note(7, vault.encode()), SIGNER, 0, [])
        outcomes.append(await store.write(partial(_cosign, vault, what)))

    async with open_store(url, world, shared=True) as one, trio.open_nursery() as nursery:
        if url.startswith("sqlite"):  # which lets no second process in
            for number in range(20):
                nursery.start_soon(show, one, number)
        else:
            async with open_store(url, world, shared=True) as two, trio.open_nursery() as inner:
                for number in range(20):
                    inner.start_soon(show, (one, two)[number % 2], number)
    assert sum(isinstance(each, WitnessedCheckpoint) for each in outcomes) == 1
    assert sum(isinstance(each, LogFault) for each in outcomes) == 19


def _cosign(vault: str, what: PresentedCheckpoint, tx: Tx) -> WitnessedCheckpoint | LogFault:
    return WITNESS.cosign_checkpoint(tx, "acme", vault, what, now=1)


ROWS = [
    ("acme", "a", 7, note(7, b"a"), 5, "", SIGNER),
    ("acme", "b", 7, note(7, b"b"), 6, "", SIGNER),
    ("other", "c", 5, note(5, b"c"), 9, "", SIGNER),
    ("acme", "d", 9, note(9, b"d"), 9, "rollback", b"x" * 32),
    ("acme", "unnamed", 9, note(9, b"e"), 9, "", b""),
    ("acme", "anew", 0, note(9, b"f"), 9, "", b"y" * 32),
]


def test_what_agents_had_cosigned_is_remembered_by_log(empty_url: str, tmp_path: Path) -> None:
    """A database of before (0024): the largest size counts, and of one size the older history."""
    for step in (SCRIPTS / "versions").glob("v*.py"):
        if step.name < "v0024":
            copy(step, tmp_path)
    opened = open_engines(empty_url)
    with opened.writes.connect() as connection:
        migrate(connection, tmp_path)
        for org, vault, size, text, at, fault, signer in ROWS:
            root = base64.b64decode(text.split("\n")[2])
            row = {"org": org, "vault": vault, "size": size, "root": root, "note": text, "at": at}
            connection.execute(_ROW, {**row, "fault": fault, "signer": signer})
        connection.commit()
        migrate(connection)
        with connection.begin():
            found = audit_records.get_witnessed_log(connection, ORIGIN, SIGNER)
            faulty = audit_records.get_witnessed_log(connection, ORIGIN, b"x" * 32)
            count = connection.execute(sa.text("SELECT count(*) FROM witnessed_logs")).scalar()
            faults = connection.execute(sa.text("SELECT vault, fault FROM witnessed")).all()
    opened.close()
    root = sha256(b"a")
    assert found == WitnessedLog(
        ORIGIN, SIGNER, 7, root, note(7, b"a"), 5, "acme", "a", disputed=True
    )
    assert faulty is not None
    assert faulty.disputed
    assert count == 2
    assert {row.vault for row in faults if row.fault == "fork"} == {"b"}


_ROW = sa.text(
    "INSERT INTO witnessed (org, vault, size, root, note, at, fault, signer)"
    " VALUES (:org, :vault, :size, :root, :note, :at, :fault, :signer)"
)
