"""Verify a backup, or a restore certificate, without Freehold.

    python -m tools.backup_verify BACKUP.manifest [OPTIONS]
    python -m tools.backup_verify BACKUP.1.certificate --verifier KEY

Written from docs/spec/backup.md alone: it imports the standard library, `cryptography` and
`zstandard`. The data object is beside the manifest. What is verified depends on what is given:

  nothing                       sizes, hashes, the Merkle tree of the chunks
  --verifier KEY                and the manifest's signature (the key that `backup create` prints)
  --root-key FILE               and signature, all chunks, all records, their Merkle tree
  --identity FILE, --verifier   the same for a backup that is for recipients

A certificate takes --verifier or --root-key (with the data object beside it). If the manifest is
beside it, it has to be the one that was restored.

The totals of the commit stamp and the MACs of the rows are the vault's own: `freehold backup
validate` verifies these.
"""

import argparse
import base64
import hashlib
import io
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"freehold-backup-v1\n"
LABEL = b"freehold-backup-v1"
PARTS_MAGIC = b"freehold-parts-v1\n"
MAX_INDEX = 512
MAX_OBJECT = 4 * 2**20  # of a header or a manifest
MAX_RECORD = 8 * 2**20 + 1024
CHUNK = 65_536
TAG = 16
SEALED = CHUNK + TAG
KEY_ID, SIGNATURE = 4, 64
PUBLIC = 33  # a type and 32 bytes
KEYRING_HEAD = 37  # format, epoch, nonce and tag
LENGTH = 4
WINDOW = 8 * 2**20
PIECE = 512  # compressed bytes at a time: at most 16 MiB come of them
MAX_CERTIFICATE = 64 * 1024
MAX_ADDED = 2  # rows that a restore adds to those of the backup: in `nodes` and `system`
TABLES = (
    "mounts", "secrets", "secret_versions", "secret_access", "users", "roles", "api_keys", "tokens",
    "policies", "credential_usage", "nodes", "audit_blocks", "leases", "rotations",
    "rotation_policies", "secret_consumers", "consumer_recorders", "system",
)  # fmt: skip
SECRET_TABLES = ["secrets", "secret_versions", "secret_access", "rotations", "secret_consumers"]
EXCLUDED = (None, SECRET_TABLES, SECRET_TABLES[:3])
FIELDS = (
    "format", "org", "vault", "id", "base", "depth", "created", "commits", "feed", "epoch",
    "schema", "header", "size", "chunks", "chunk_root", "content", "records", "row_root", "tables",
    "checkpoints",
)  # fmt: skip


class BadBackupError(Exception):
    """What is wrong with it."""


def require(condition: object, what: str) -> None:
    """Raise unless it is so."""
    if not condition:
        raise BadBackupError(what)


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def length_prefixed(*fields: bytes) -> bytes:
    """The count of the fields, then each with its length: u32, big-endian."""
    parts = [struct.pack(">I", len(fields))]
    for field in fields:
        parts += [struct.pack(">I", len(field)), field]
    return b"".join(parts)


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256, 32 bytes."""
    return HKDF(SHA256(), 32, salt, info).derive(key)


class MerkleTree:
    """RFC 9162, 2.1: its root, in memory that grows with the logarithm of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []

    def append(self, data: bytes) -> None:
        """The next leaf."""
        node, rest = sha256(b"\0" + data), self.size
        while rest & 1:
            node = sha256(b"\1" + self._subtrees.pop() + node)
            rest >>= 1
        self._subtrees.append(node)
        self.size += 1

    def root(self) -> str:
        """In hex."""
        if not self._subtrees:
            return sha256(b"").hex()
        node = self._subtrees[-1]
        for left in reversed(self._subtrees[:-1]):
            node = sha256(b"\1" + left + node)
        return node.hex()


def parse_manifest(note: bytes, name: str) -> dict[str, Any]:
    """The manifest of a signed note, its signature unverified."""
    manifest = parse_note(note, "freehold.backup/", "manifest")
    require(set(manifest) - {"excluded"} == set(FIELDS), "the manifest has other fields")
    require(manifest.get("excluded") in EXCLUDED, "unknown tables are left out")
    require("excluded" not in manifest or manifest["excluded"], "unknown tables are left out")
    require(manifest["id"] == name, "the manifest is of another backup than its name says")
    return manifest


def parse_note(note: bytes, origin: str, what: str) -> dict[str, Any]:
    """The JSON of a signed note of the vault, its signature unverified."""
    text, blank, signatures = note.partition(b"\n\n")
    require(blank, f"the {what} is not a signed note")
    first, _, body = text.partition(b"\n")
    found = parse_json(body)
    require(found.get("format") == 1, f"the {what} is not of format 1")
    require(first == f"{origin}{found['vault']}".encode(), "the origin is another's")
    require(signatures.count(b"\n") == 1, f"the {what} has not one signature")
    written = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
    require(body == written, f"the {what} is written in another way")
    return found


def parse_json(data: bytes) -> dict[str, Any]:
    """An object, of which each name is there once."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require(len({name for name, _ in pairs}) == len(pairs), "a name is there twice")
        return dict(pairs)

    try:
        found = json.loads(data.decode(), object_pairs_hook=once)
    except ValueError:
        raise BadBackupError("it is not JSON") from None
    require(isinstance(found, dict), "it is no JSON object")
    return found


def verify_signature(note: bytes, name: str, public: bytes) -> None:
    """C2SP signed-note: one Ed25519 signature of the name over the text and its newline."""
    text, _, line = note.partition(b"\n\n")
    prefix = f"— {name} ".encode()
    require(line.startswith(prefix) and line.endswith(b"\n"), "the signature is of another name")
    encoded = line[len(prefix) : -1]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise BadBackupError("the signature is not base64") from None
    require(base64.b64encode(blob) == encoded, "the signature is in another form")
    key_id = sha256(name.encode() + b"\n\x01" + public)[:KEY_ID]
    require(len(blob) == KEY_ID + SIGNATURE, "the signature has another length")
    require(blob[:KEY_ID] == key_id, "it is signed by another key")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(blob[KEY_ID:], text + b"\n")
    except InvalidSignature:
        raise BadBackupError("the signature is wrong") from None


def parse_verifier(text: str, vault: str) -> bytes:
    """The public key of `name+key id+key`."""
    name, _, rest = text.strip().partition("+")  # base64 may have further ones
    blob = base64.b64decode(rest.partition("+")[2], validate=True)
    require(len(blob) == PUBLIC and blob[0] == 1, "the verifier is no Ed25519 key")
    names = (f"freehold.backup/{vault}", f"freehold.restore/{vault}")  # one key
    require(name in names, "the verifier is another's")
    return blob[1:]


def backup_subkey(header: dict[str, Any], root_key: bytes) -> bytes:
    """The subkey `backup`: the last 32 bytes of the keyring (docs/spec/keyring.md)."""
    blob = base64.b64decode(header["keyring"])
    require(len(blob) > KEYRING_HEAD and blob[0] == 1, "the keyring is not of format 1")
    aad = length_prefixed(
        b"freehold-keyring-v1", header["org"].encode(), header["vault"].encode(), blob[1:9]
    )
    try:
        payload = AESGCM(root_key).decrypt(blob[9:21], blob[21:], aad)
    except InvalidTag:
        raise BadBackupError("the root key does not open the keyring") from None
    return payload[-32:]


def unwrap(header: dict[str, Any], subkey: bytes | None, identity: bytes | None) -> bytes:
    """The file key."""
    context = f"{header['org']}\n{header['vault']}\n{header['id']}".encode()
    try:
        for wrap in header["keys"]:
            sealed, kind = base64.b64decode(wrap["sealed"]), wrap["kind"]
            info = length_prefixed(LABEL, kind.encode(), context)
            if kind == "keyring" and subkey is not None:
                key = vault_key(header, subkey, b"wrap", sealed[:16])
                return AESGCM(key).decrypt(sealed[16:28], sealed[28:], info)
            if kind == "x25519" and identity is not None:
                private = X25519PrivateKey.from_private_bytes(identity)
                public = private.public_key().public_bytes_raw().hex()
                if wrap["recipient"] == f"freehold-backup-recipient-1:{public}":
                    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
                    return suite.decrypt(sealed, private, info)
    except (InvalidTag, ValueError):
        raise BadBackupError("the file key does not open") from None
    raise BadBackupError("no key that was given opens this backup")


def vault_key(header: dict[str, Any], subkey: bytes, use: bytes, salt: bytes) -> bytes:
    """A key of the vault's backups."""
    info = length_prefixed(LABEL, header["org"].encode(), header["vault"].encode(), use)
    return hkdf(subkey, salt, info)


def note_key(header: dict[str, Any], subkey: bytes) -> bytes:
    """The public key of the vault's signed notes."""
    seed = vault_key(header, subkey, b"note", b"")
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def read_header(source: BinaryIO, manifest: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The header, which is the manifest's."""
    encoded = source.read(len(MAGIC))
    require(encoded == MAGIC, "the data object does not begin as format 1 does")
    encoded += source.readline(MAX_OBJECT)
    require(sha256(encoded).hex() == manifest["header"], "the header is not the manifest's")
    header = parse_json(encoded[len(MAGIC) :])
    for name in ("org", "vault", "id", "base", "excluded"):
        require(header.get(name) == manifest.get(name), f"header and manifest differ in {name}")
    return header, encoded


def sealed_chunks(
    source: BinaryIO, manifest: dict[str, Any], start: int
) -> Iterator[tuple[bytes, bool]]:
    """The chunks, each with whether it is the last; their number, sizes and tree are verified."""
    count, tree = manifest["chunks"], MerkleTree()
    last_size = manifest["size"] - start - (count - 1) * SEALED
    require(count >= 1 and TAG < last_size <= SEALED, "the sizes do not fit together")
    for number in range(1, count + 1):
        size = last_size if number == count else SEALED
        box = source.read(size)
        require(len(box) == size, f"the data object is cut short in chunk {number}")
        tree.append(box)
        if number == count:
            require(not source.read(1), "the data object is too long")
            require(tree.root() == manifest["chunk_root"], "the chunks are not the manifest's")
        yield box, number == count


def plain(
    source: BinaryIO, manifest: dict[str, Any], header: bytes, file_key: bytes
) -> Iterator[bytes]:
    """The decompressed content, in pieces."""
    hash_ = sha256(header)
    cipher = AESGCM(hkdf(file_key, hash_, length_prefixed(LABEL, b"stream")))
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()
    for number, (box, is_last) in enumerate(sealed_chunks(source, manifest, len(header))):
        nonce = number.to_bytes(11, "big") + bytes([is_last])
        try:
            chunk = cipher.decrypt(nonce, box, hash_)
        except InvalidTag:
            raise BadBackupError(f"chunk {number + 1} does not open") from None
        for start in range(0, len(chunk), PIECE):
            require(not decompressor.eof, "something follows the compressed content")
            try:
                yield decompressor.decompress(chunk[start : start + PIECE])
            except zstandard.ZstdError:
                raise BadBackupError("the content does not decompress") from None
    require(decompressor.eof and not decompressor.unused_data, "the content does not end")


def records(pieces: Iterator[bytes], content: int) -> Iterator[bytes]:
    """The records: each behind its length, u32 big-endian."""
    buffer, seen = bytearray(), 0
    for piece in pieces:
        seen += len(piece)
        require(seen <= content, "there is more content than the manifest says")
        buffer += piece
        start = 0
        while len(buffer) - start >= LENGTH:
            size = int.from_bytes(buffer[start : start + LENGTH], "big")
            require(size <= MAX_RECORD, "a record is too long")
            end = start + LENGTH + size
            if end > len(buffer):
                break
            yield bytes(buffer[start + LENGTH : end])
            start = end
        del buffer[:start]
    require(not buffer and seen == content, "there is less content than the manifest says")


def table_of(record: bytes) -> tuple[str, bool]:
    """The table's name, and whether it is a row: MessagePack `[str, map]`, or `[str, array]`."""
    pair, text = record[:1], record[1:2]
    require(pair == b"\x92" and b"\xa0" <= text <= b"\xbf", "not a record")
    end = 2 + (text[0] & 0x1F)
    kind = record[end : end + 1]
    is_row = b"\x80" <= kind <= b"\x8f" or kind in {b"\xde", b"\xdf"}
    require(is_row or b"\x90" <= kind <= b"\x9f", "not a record")
    return record[2:end].decode(), is_row


def verify_records(found: Iterator[bytes], manifest: dict[str, Any]) -> int:
    """Count, tree, and numbers of each table; how many records there are."""
    tree, counts, position = MerkleTree(), dict[str, list[int]](), 0
    for record in found:
        tree.append(record)
        table, is_row = table_of(record)
        require(table in TABLES[position:], f"{table} is no table, or out of order")
        require(table not in manifest.get("excluded", ()), f"{table} should have been left out")
        position = TABLES.index(table)
        counts.setdefault(table, [0, 0])[not is_row] += 1
    told = {each["table"]: [each["rows"], each["removed"]] for each in manifest["tables"]}
    require(counts == told, "the tables have other numbers of rows than the manifest says")
    require(tree.size == manifest["records"], "there are not as many records as it says")
    require(tree.root() == manifest["row_root"], "the records are not the manifest's")
    return tree.size


class JoinedParts(io.RawIOBase):
    """Files that are read one after the other."""

    def __init__(self, files: list[Path]) -> None:
        self._left = files

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """From the first file that is left and has more."""
        while self._left:
            with self._left[0].open("rb") as file:
                file.seek(self._at)
                count = file.readinto(buffer)
            self._at += count
            if count:
                return count
            self._left, self._at = self._left[1:], 0
        return 0

    _at = 0


def open_data(data: Path) -> BinaryIO:
    """The data object, or its parts by their index."""
    with data.open("rb") as file:
        first = file.read(MAX_INDEX)
    if not first.startswith(PARTS_MAGIC):
        return data.open("rb")
    index = json.loads(first.removeprefix(PARTS_MAGIC))
    require(index["upload"].replace("-", "").isalnum(), "the index of parts is damaged")
    folder = data.parent / ".parts" / data.name / index["upload"]
    joined = JoinedParts([folder / f"{number:06}" for number in range(index["parts"])])
    return cast("BinaryIO", io.BufferedReader(joined))


def verify(
    manifest_file: Path,
    *,
    verifier: str = "",
    root_key: bytes | None = None,
    identity: bytes | None = None,
) -> str:
    """Verify what can be; says what that was. Raises `BadBackupError`, `OSError`."""
    name = manifest_file.name.removesuffix(".manifest")
    with manifest_file.open("rb") as file:
        note = file.read(MAX_OBJECT + 1)
    require(len(note) <= MAX_OBJECT, "the manifest is too long")
    manifest = parse_manifest(note, name)
    done, origin = "chunks", f"freehold.backup/{manifest['vault']}"
    with open_data(manifest_file.with_name(f"{name}.backup")) as source:
        header, encoded = read_header(source, manifest)
        subkey = None if root_key is None else backup_subkey(header, root_key)
        if subkey is not None:
            verify_signature(note, origin, note_key(header, subkey))
        if verifier:
            verify_signature(note, origin, parse_verifier(verifier, manifest["vault"]))
        if verifier or subkey is not None:
            done = f"signature, {done}"
        if subkey is None and identity is None:
            for _ in sealed_chunks(source, manifest, len(encoded)):
                pass
            return done
        file_key = unwrap(header, subkey, identity)
        content = plain(source, manifest, encoded, file_key)
        count = verify_records(records(content, manifest["content"]), manifest)
    return f"{done}, {count} records"


def verify_certificate(
    file: Path, *, verifier: str = "", root_key: bytes | None = None
) -> dict[str, Any]:
    """What a restore certificate says. Raises `BadBackupError`, `OSError`."""
    backup = file.name.split(".")[0]
    with file.open("rb") as source:
        note = source.read(MAX_CERTIFICATE + 1)
    require(len(note) <= MAX_CERTIFICATE, "the certificate is too long")
    found = parse_note(note, "freehold.restore/", "certificate")
    require(found["backup"] == backup, "the certificate is of another backup than its name says")
    keys = [parse_verifier(verifier, found["vault"])] if verifier else []
    manifest_file = file.with_name(f"{backup}.manifest")
    manifest = None
    if manifest_file.exists():
        manifest = parse_manifest(manifest_file.read_bytes(), backup)
    if root_key is not None:
        require(manifest, "the root key is of use with the backup beside the certificate only")
        with file.with_name(f"{backup}.backup").open("rb") as source:
            header, _ = read_header(source, manifest or {})
        keys.append(note_key(header, backup_subkey(header, root_key)))
    require(keys, "give --verifier or --root-key")
    for public in keys:
        verify_signature(note, f"freehold.restore/{found['vault']}", public)
    require_consistent(found)
    if manifest is not None:
        text = manifest_file.read_bytes().partition(b"\n\n")[0] + b"\n"
        require(sha256(text).hex() == found["digest"], "the manifest is not the one restored")
        same = all(manifest[name] == found[name] for name in ("vault", "created", "commits"))
        require(same, "manifest and certificate differ")
        if found["depth"] == "rows" and manifest["base"] is None:
            wanted = manifest["records"], manifest["row_root"]
            require(wanted == (found["rows"], found["store_root"]), "other rows were restored")
    return found


def require_consistent(found: dict[str, Any]) -> None:
    """What a certificate says fits together."""
    counted = sum(each["rows"] for each in found["tables"])
    require(found["backup_root"] == found["store_root"], "the roots are not the same")
    require(0 <= found["sampled"] <= found["versions"], "more values decrypted than there are")
    if found["depth"] == "rows":
        fits = 0 < found["rows"] <= counted <= found["rows"] + MAX_ADDED
        require(fits and found["rto_ms"] is not None, "its numbers do not fit together")
    else:
        empty = not (found["rows"] or counted or found["store_root"])
        require(found["depth"] == "chunks" and empty, "its numbers do not fit together")


def describe(found: dict[str, Any]) -> str:
    """A certificate in a line."""
    place = f"{found['backup']} of {found['created']}"
    if found["depth"] == "chunks":
        return f"signatures and chunks of {place} were verified at {found['finished']}"
    return (
        f"{place} was restored at {found['finished']}: {found['rows']} rows, "
        f"{found['sampled']} of {found['versions']} values decrypted, RTO "
        f"{found['rto_ms'] / 1000} s, RPO {found['rpo_ms'] / 1000} s"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a manifest or a certificate")
    parser.add_argument("--verifier", default="", help="public key, as `backup create` prints it")
    parser.add_argument("--root-key", type=Path, help="file with the 32 bytes of the root key")
    parser.add_argument("--identity", type=Path, help="file of `freehold backup keygen`")
    given = parser.parse_args()
    try:
        identity = None
        if given.identity is not None:
            identity = bytes.fromhex(given.identity.read_text().strip().rpartition(":")[2])
        root_key = None if given.root_key is None else given.root_key.read_bytes()
        if given.file.name.endswith(".certificate"):
            found = verify_certificate(given.file, verifier=given.verifier, root_key=root_key)
            done = f"certificate, {describe(found)}"
        else:
            done = verify(given.file, verifier=given.verifier, root_key=root_key, identity=identity)
    except (BadBackupError, OSError, KeyError, TypeError, ValueError) as error:
        sys.exit(f"refused: {error or type(error).__name__}")
    print(f"verified: {done}")


if __name__ == "__main__":
    main()
