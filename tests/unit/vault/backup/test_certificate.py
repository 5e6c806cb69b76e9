"""A restore certificate is what the vault has signed, and nothing else: for us and for the tool."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.memory_destination import MemoryDestination
from tests.support.vaults import ROOT_KEY, Vault
from tests.unit.vault.backup.conftest import ignored
from tools import backup_verify
from vault.backup.certificate import (
    MAX_CERTIFICATE,
    RestoreCertificate,
    certificate_names,
    certificate_verifier,
    list_certificates,
    parse_certificate_verifier,
    read_unverified_certificate,
    sign_certificate,
    verify_certificate,
    write_certificate,
)
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.format import TableCount, manifest_verifier
from vault.backup.keys import VaultKeys, open_keyring
from vault.backup.restore import read_backup_header, verify_backup
from vault.crypto.note_signing import NoteKey
from vault.errors import ConflictError, TamperedError, ValidationError

REFUSALS: Final = (backup_verify.BadBackupError, KeyError, TypeError, ValueError)
NAME: Final = "proven.1.certificate"


@pytest.fixture(scope="session")
def vectors(root: Path) -> Path:
    """The folder of vectors. `proven` was made at schema 8, with a certificate of that day."""
    return root / "tests" / "vectors" / "backup"


@pytest.fixture(scope="session")
def note(vectors: Path) -> bytes:
    """The certificate."""
    return (vectors / NAME).read_bytes()


@pytest.fixture(scope="session")
def keys(vectors: Path) -> VaultKeys:
    """Of the vault that has signed it."""
    return open_keyring(read_backup_header(LocalDirectory(vectors), "proven"), ROOT_KEY)


@pytest.fixture
def by_tool(vectors: Path, keys: VaultKeys, tmp_path: Path) -> Callable[[bytes], Any]:
    """Verify a certificate with the tool that imports nothing of the program."""
    for name in ("proven.backup", "proven.manifest"):
        (tmp_path / name).write_bytes((vectors / name).read_bytes())

    def verify(data: bytes) -> Any:
        file = tmp_path / NAME
        file.write_bytes(data)
        verifier = certificate_verifier("vault-1", keys.backup)
        return backup_verify.verify_certificate(file, verifier=verifier)

    return verify


def test_vector(vectors: Path, note: bytes, keys: VaultKeys) -> None:
    """What an earlier release has signed, by each kind of key; its backup has the rows it says."""
    found = verify_certificate(note, "vault-1", keys.backup.note.public)
    assert (found.depth, found.versions, found.sampled) == ("rows", 3, 3)
    source = LocalDirectory(vectors)
    verified = verify_backup(source, "proven", keys, progress=ignored)
    assert (verified.rows, verified.root) == (found.rows, found.store_root)
    assert verified.manifest.digest == found.digest
    for verifier in (
        certificate_verifier("vault-1", keys.backup),
        manifest_verifier("vault-1", keys.backup),
    ):
        assert parse_certificate_verifier(verifier) == ("vault-1", keys.backup.note.public)
        backup_verify.verify_certificate(vectors / NAME, verifier=verifier)
    said = backup_verify.verify_certificate(vectors / NAME, root_key=ROOT_KEY)
    assert said == json.loads(msgspec.json.encode(found))
    assert "3 of 3 values decrypted" in backup_verify.describe(said)


def test_each_flipped_bit(note: bytes, keys: VaultKeys, by_tool: Callable[[bytes], Any]) -> None:
    """All of them are refused."""
    by_tool(note)
    for bit in range(len(note) * 8):
        changed = bytearray(note)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TamperedError):
            verify_certificate(bytes(changed), "vault-1", keys.backup.note.public)
        if bit % 5 == 0:
            with pytest.raises(REFUSALS):
                by_tool(bytes(changed))


def test_something_more(note: bytes, keys: VaultKeys, by_tool: Callable[[bytes], Any]) -> None:
    """Behind the signature, or missing."""
    other = NoteKey.from_seed(bytes(32)).public
    for changed in (note + b"x", note + note, note[:-1], note[: note.index(b"\n\n")], b""):
        with pytest.raises(TamperedError):
            verify_certificate(changed, "vault-1", keys.backup.note.public)
        with pytest.raises(REFUSALS):
            by_tool(changed)
    with pytest.raises(TamperedError):
        verify_certificate(note + b" " * MAX_CERTIFICATE, "vault-1", keys.backup.note.public)
    for vault, public in (("vault-2", keys.backup.note.public), ("vault-1", other)):
        with pytest.raises(TamperedError):
            verify_certificate(note, vault, public)


def test_forged(note: bytes, keys: VaultKeys, by_tool: Callable[[bytes], Any]) -> None:
    """By the key of another vault; and a manifest is no certificate although one key signs both."""
    other = VaultKeys(Vault("sqlite:///unused.db").keyring).backup
    found = read_unverified_certificate(note)
    forged = sign_certificate(msgspec.structs.replace(found, sampled=2), other)
    with pytest.raises(TamperedError) as caught:
        verify_certificate(forged, "vault-1", keys.backup.note.public)
    assert caught.value.code == "certificate_invalid"
    with pytest.raises(backup_verify.BadBackupError):
        by_tool(forged)
    renamed = note.replace(b"freehold.restore/", b"freehold.backup/")
    with pytest.raises(REFUSALS):
        by_tool(renamed)


@pytest.mark.parametrize(
    "claims",
    [
        {"format": 2},
        {"rows": 0},
        {"rows": 1},
        {"store_root": "00" * 32},
        {"sampled": 4},
        {"rto_ms": None},
        {"tables": ()},
        {"depth": "chunks"},
    ],
)
def test_what_no_test_finds(
    note: bytes, keys: VaultKeys, by_tool: Callable[[bytes], Any], claims: dict[str, Any]
) -> None:
    """Signed all the same, numbers that do not fit together are refused."""
    signed = sign_certificate(
        msgspec.structs.replace(read_unverified_certificate(note), **claims), keys.backup
    )
    with pytest.raises(TamperedError):
        verify_certificate(signed, "vault-1", keys.backup.note.public)
    with pytest.raises(REFUSALS):
        by_tool(signed)


def test_of_another_backup(
    note: bytes, keys: VaultKeys, by_tool: Callable[[bytes], Any], vectors: Path, tmp_path: Path
) -> None:
    """The manifest beside it is the one that was restored, or the tool refuses."""
    found = read_unverified_certificate(note)
    for claims in (
        {"digest": "00" * 32},
        {"commits": 9},
        {"rows": found.rows - 1},
        {"backup": "other"},
    ):
        with pytest.raises(REFUSALS):
            by_tool(sign_certificate(msgspec.structs.replace(found, **claims), keys.backup))
    by_tool(note)
    (tmp_path / "proven.manifest").write_bytes((vectors / "full.manifest").read_bytes())
    with pytest.raises(REFUSALS):
        by_tool(note)


@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    """Are no certificate."""
    with pytest.raises(TamperedError):
        read_unverified_certificate(data)


def test_verifiers_that_are_none(keys: VaultKeys) -> None:
    """Another name, another key id, cut."""
    good = certificate_verifier("vault-1", keys.backup)
    for text in ("", "x", good[:-4], good.replace("restore", "audit"), good.replace("+", "-", 1),
                 good.replace("vault-1", "vault-2")):  # fmt: skip
        with pytest.raises(ValidationError) as caught:
            parse_certificate_verifier(text)
        assert caught.value.code == "verifier_invalid"


def test_names(note: bytes, keys: VaultKeys) -> None:
    """Each has the next number; what is there is never replaced, and other objects are let be."""
    found, place = read_unverified_certificate(note), MemoryDestination({"proven.manifest": b""})
    for number in (1, 2):
        assert write_certificate(place, found, keys.backup).name == f"proven.{number}.certificate"
    place.objects["proven.10.certificate"] = b"torn"
    place.objects |= {"proven.x.certificate": b"", "other.1.certificate": note}
    signed = write_certificate(place, found, keys.backup)
    assert signed.name == "proven.11.certificate"
    assert place.objects[signed.name] == signed.note
    assert certificate_names(place)[-1] == "proven.11.certificate"
    listed, faults = list_certificates(place, "vault-1", keys.backup.note.public)
    assert [each.name.split(".")[1] for each in listed] == ["1", "11", "2"]
    assert [fault.message.partition(":")[0] for fault in faults] == [
        "other.1.certificate",
        "proven.10.certificate",
    ]


def test_names_that_others_take(note: bytes, keys: VaultKeys) -> None:
    """The next one is tried, a few times."""
    found = read_unverified_certificate(note)

    class Racing(MemoryDestination):
        races = 2

        def names(self) -> list[str]:
            before = super().names()
            for number in range(1, self.races + 1):
                self.objects[f"proven.{number}.certificate"] = b""
            return before

    assert write_certificate(Racing(), found, keys.backup).name == "proven.3.certificate"
    crowded = Racing()
    crowded.races = 100
    with pytest.raises(ConflictError):
        write_certificate(crowded, found, keys.backup)


def test_without_rows(note: bytes, keys: VaultKeys, by_tool: Callable[[bytes], Any]) -> None:
    """One of a backup for recipients says nothing of them."""
    found: RestoreCertificate = msgspec.structs.replace(
        read_unverified_certificate(note),
        depth="chunks", rto_ms=None, rows=0, backup_root="", store_root="", tables=(), versions=0,
        sampled=0, seed="",
    )  # fmt: skip
    signed = sign_certificate(found, keys.backup)
    assert verify_certificate(signed, "vault-1", keys.backup.note.public) == found
    assert "chunks" in backup_verify.describe(by_tool(signed))
    odd = msgspec.structs.replace(found, tables=(TableCount("secrets", 1),))
    with pytest.raises(REFUSALS):
        by_tool(sign_certificate(odd, keys.backup))
