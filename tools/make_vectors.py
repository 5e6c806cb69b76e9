"""Write tests/vectors/*.json from the specs in docs/spec, with no code of vault.crypto.

A second implementation, kept dumb: fixed keys and nonces, bytes put together by hand. If it and
vault.crypto disagree, one of them is not what the spec says. Each failing case names its failure.
Run it from the repository's root after a change of format, and read the difference.
"""

import base64
import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

TARGET = Path(__file__).parent.parent / "tests" / "vectors"
ALGORITHM = b"AES-256-GCM+HKDF-SHA256"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PLACE = {"org": "acme", "vault": "prod", "secret_id": "0190f3c2", "version": 7, "field": "value"}

Case = dict[str, Any]


def fixed(label: str, size: int) -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(label.encode()).digest(size)


def u16(n: int) -> bytes:
    """Big-endian."""
    return struct.pack(">H", n)


def u32(n: int) -> bytes:
    """Big-endian."""
    return struct.pack(">I", n)


def u64(n: int) -> bytes:
    """Big-endian."""
    return struct.pack(">Q", n)


def length_prefixed(*fields: bytes) -> bytes:
    """length_prefixed."""
    return u32(len(fields)) + b"".join(u32(len(field)) + field for field in fields)


def gcm_box(key: bytes, label: str, plaintext: bytes, aad: bytes) -> bytes:
    """A box whose nonce comes from `label`."""
    nonce = fixed("nonce " + label, 12)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256."""
    hmac = HMAC(key, SHA256())
    hmac.update(data)
    return hmac.finalize()


def flip_bit(data: bytes, at: int) -> bytes:
    """`data` with the lowest bit of one byte turned over."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def make_case(name: str, expect: str, **parts: object) -> Case:
    """One case; bytes become hex."""
    shown = {k: v.hex() if isinstance(v, bytes) else v for k, v in parts.items()}
    return {"name": name, "expect": expect, **shown}


# --- length_prefixed -----------------------------------------------------------------------------


def length_prefixed_cases() -> list[Case]:
    """Lists that a joined string would confuse."""
    lists: dict[str, list[bytes]] = {
        "no fields": [],
        "one empty field": [b""],
        "two empty fields": [b"", b""],
        "one field": [b"abc"],
        "split after one": [b"a", b"bc"],
        "split after two": [b"ab", b"c"],
        "a field that looks like a length": [u32(1), b"x"],
        "three hundred bytes": [fixed("long", 300)],
    }
    return [
        make_case(
            name, "success", fields=[f.hex() for f in fields], encoded=length_prefixed(*fields)
        )
        for name, fields in lists.items()
    ]


# --- sealed values -------------------------------------------------------------------------------


def place_fields(place: dict[str, Any], *, generation: int | None) -> bytes:
    """The AAD of a wrap (with a generation) or of a box (without)."""
    label = b"freehold-box-v1" if generation is None else b"freehold-wrap-v1"
    fields = [label, place["org"].encode(), place["vault"].encode(), place["secret_id"].encode()]
    fields.append(u64(place["version"]))
    if generation is not None:
        fields.append(u32(generation))
    return length_prefixed(*fields, ALGORITHM, place["field"].encode())


def sealed_parts(
    label: str, kek: bytes, generation: int, place: dict[str, Any], plaintext: bytes
) -> tuple[bytes, bytes]:
    """The two parts of a sealed value."""
    dek = fixed("dek " + label, 32)
    okm = HKDF(SHA256(), 64, b"freehold-sealed-v1", b"commitment || K_enc").derive(dek)
    wrap = gcm_box(kek, label + " wrap", dek, place_fields(place, generation=generation))
    box = gcm_box(okm[32:], label + " box", plaintext, place_fields(place, generation=None))
    return b"\x01" + u32(generation) + wrap, b"\x01" + okm[:32] + u32(len(box)) + box


def sealed_cases() -> list[Case]:
    """Values that open, and values that must not."""
    kek = fixed("kek", 32)
    common: Case = {"kek": kek, "generation": 3, "place": PLACE}
    secret = b"correct horse battery staple"
    dek, box = sealed_parts("one", kek, 3, PLACE, secret)
    dek2, box2 = sealed_parts("two", kek, 3, PLACE, secret)
    whole = dek + box
    cases = [make_case("a value", "success", **common, sealed=whole, plaintext=secret)]
    cases += _sealed_extremes(kek)
    bad = {
        "empty": b"",
        "only the wrapped DEK": dek,
        "last byte missing": whole[:-1],
        "one byte too many": whole + b"\0",
        "unknown format of the wrapped DEK": b"\x02" + whole[1:],
        "unknown format of the box": dek + b"\x02" + box[1:],
        "generation zero": b"\x01" + u32(0) + whole[5:],
        "box length too large": dek + box[:33] + u32(len(box) - 36) + box[37:],
        "box shorter than nonce and tag": dek + box[:33] + u32(27) + box[37 : 37 + 27],
    }
    cases += [make_case(n, "MalformedSealed", **common, sealed=data) for n, data in bad.items()]
    altered = {
        "bit flipped in the wrap's nonce": flip_bit(whole, 5),
        "bit flipped in the wrap's tag": flip_bit(dek, -1) + box,
        "bit flipped in the box's nonce": dek + flip_bit(box, 37),
        "bit flipped in the ciphertext": dek + flip_bit(box, 49),
        "bit flipped in the box's tag": flip_bit(whole, -1),
    }
    cases += [make_case(n, "AuthenticationFailed", **common, sealed=d) for n, d in altered.items()]
    mixed = {
        "bit flipped in the commitment": dek + flip_bit(box, 1),
        "wrapped DEK of another value of the same place": dek2 + box,
        "commitment and box of different values": dek + box2[:33] + box[33:],
    }
    cases += [make_case(n, "CommitmentMismatch", **common, sealed=d) for n, d in mixed.items()]
    swapped = dek + box[:33] + box2[33:]
    cases.append(
        make_case("right commitment, foreign box", "AuthenticationFailed", **common, sealed=swapped)
    )
    return cases + _sealed_moved(kek, whole)


def _sealed_extremes(kek: bytes) -> list[Case]:
    large = {**PLACE, "version": 2**64 - 1, "org": "Zürich", "field": "/"}
    result = []
    for name, generation, place, plaintext in (
        ("an empty value", 1, PLACE, b""),
        ("largest numbers, names beyond ASCII", 2**32 - 1, large, fixed("plain", 100)),
    ):
        data = b"".join(sealed_parts(name, kek, generation, place, plaintext))
        parts = {"kek": kek, "generation": generation, "place": place}
        result.append(make_case(name, "success", **parts, sealed=data, plaintext=plaintext))
    return result


def _sealed_moved(kek: bytes, whole: bytes) -> list[Case]:
    result = []
    for name, change in (
        ("another org", {"org": "acme2"}),
        ("another vault", {"vault": "test"}),
        ("another secret", {"secret_id": "0190f3c3"}),
        ("another version", {"version": 8}),
        ("another field", {"field": "note"}),
        ("same letters, other boundary", {"org": "acm", "vault": "eprod"}),
    ):
        parts = {"kek": kek, "generation": 3, "place": {**PLACE, **change}}
        result.append(make_case("moved to " + name, "AuthenticationFailed", **parts, sealed=whole))
    common: Case = {"place": PLACE, "sealed": whole}
    result.append(
        make_case("another KEK", "AuthenticationFailed", kek=fixed("x", 32), generation=3, **common)
    )
    result.append(
        make_case("another generation", "UnknownGeneration", kek=kek, generation=4, **common)
    )
    return result


# --- keyring -------------------------------------------------------------------------------------


def keyring_blob(
    root: bytes, epoch: int, payload: bytes, label: str, version: bytes = b"1"
) -> bytes:
    """A keyring of acme/prod with any payload, in format 1 or 2."""
    aad = length_prefixed(b"freehold-keyring-v" + version, b"acme", b"prod", u64(epoch))
    return bytes([int(version)]) + u64(epoch) + gcm_box(root, label, payload, aad)


def keyring_cases() -> list[Case]:
    """Keyrings that decode, and keyrings that must not."""
    root = fixed("root", 32)
    subkeys = fixed("subkeys", 6 * 32)
    first = u64(1_700_000_000_000_000_000) + b"\x01" + fixed("kek 1", 32)
    second = u64(1_710_000_000_000_000_000) + b"\x01" + fixed("kek 2", 32)
    gone = u64(1_700_000_000_000_000_000) + b"\x00"
    good = {
        "a new keyring": (1, u16(1) + first + subkeys, ["active"]),
        "after a rotation": (2, u16(2) + first + second + subkeys, ["active", "active"]),
        "first generation retired": (3, u16(2) + gone + second + subkeys, ["retired", "active"]),
    }
    cases = []
    for name, (epoch, payload, states) in good.items():
        blob = keyring_blob(root, epoch, payload, name)
        parts: Case = {"epoch": epoch, "states": states, "payload": payload, "subkeys": subkeys}
        cases.append(make_case(name, "success", **_at(root, blob), **parts))
    uses = u64(2) + u64(1_720_000_000_000_000_000)
    counted = u16(1) + first + subkeys + uses
    used = keyring_blob(root, 4, counted, "used", b"2")
    parts = {"epoch": 4, "states": ["active"], "payload": counted, "subkeys": subkeys, "uses": uses}
    cases.append(make_case("opened twice by break-glass", "success", **_at(root, used), **parts))
    payload = u16(1) + first + subkeys
    blob = keyring_blob(root, 1, payload, "base")
    malformed = {
        "empty": b"",
        "cut to its head": blob[:36],
        "unknown format": b"\x03" + blob[1:],
        "a count in format 1": keyring_blob(root, 1, payload + uses, "count in 1"),
        "no count in format 2": keyring_blob(root, 1, payload, "no count", b"2"),
        "epoch zero": keyring_blob(root, 0, payload, "epoch zero"),
        "no generations": keyring_blob(root, 1, u16(0) + subkeys, "none"),
        "newest generation retired": keyring_blob(root, 1, u16(1) + gone + subkeys, "gone"),
        "unknown state": keyring_blob(root, 1, payload[:10] + b"\x02" + payload[11:], "state"),
        "trailing byte inside": keyring_blob(root, 1, payload + b"\0", "trailing"),
        "short inside": keyring_blob(root, 1, payload[:-1], "short"),
        "nothing inside": keyring_blob(root, 1, b"", "nothing"),
        "ends inside a date": keyring_blob(root, 1, payload[:7], "date"),
        "ends inside a KEK": keyring_blob(root, 1, payload[:30], "kek"),
        "count too large": keyring_blob(root, 1, u16(9) + payload[2:], "count"),
    }
    cases += [make_case(n, "MalformedKeyring", **_at(root, b)) for n, b in malformed.items()]
    refused = {
        "another root key": _at(fixed("other root", 32), blob),
        "another org": {**_at(root, blob), "org": "acme2"},
        "another vault": {**_at(root, blob), "vault": "test"},
        "an older epoch dressed as a newer one": _at(root, b"\x01" + u64(2) + blob[9:]),
        "format 1 dressed as 2": _at(root, b"\x02" + blob[1:]),
        "format 2 dressed as 1": _at(root, b"\x01" + used[1:]),
        "bit flipped in a key": _at(root, flip_bit(blob, 40)),
        "last byte missing": _at(root, blob[:-1]),
        "one byte too many": _at(root, blob + b"\0"),
    }
    return cases + [make_case(n, "AuthenticationFailed", **parts) for n, parts in refused.items()]


def _at(root: bytes, blob: bytes) -> Case:
    return {"root_key": root, "org": "acme", "vault": "prod", "keyring": blob}


# --- credentials ---------------------------------------------------------------------------------


def base62(data: bytes) -> str:
    """43 digits for 32 bytes."""
    number, digits = int.from_bytes(data), ""
    for _ in range(43):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return digits


def credential_cases() -> list[Case]:
    """Texts that parse, texts that do not, and what each hashes to."""
    pepper = fixed("pepper", 32)
    name = base64.b32encode(fixed("id", 10)).decode().lower()
    secret = base62(fixed("secret", 32))
    body = f"fh_{name}_{secret}"
    key = f"{body}_{zlib.crc32(body.encode()):08x}"
    token = f"s.{name}{secret}"
    top = "z" * 43
    cases = [
        _credential(pepper, "an API key", key, kind="api-key", name=name, secret=secret),
        _credential(pepper, "a service token", token, kind="token", name=name, secret=secret),
        _credential(
            pepper, "largest secret", "s." + name + top, kind="token", name=name, secret=top
        ),
    ]
    bad = {
        "a chosen token": "root",
        "empty": "",
        "beyond ASCII": "sésame",
        "wrong checksum": key[:-1] + ("0" if key[-1] != "0" else "1"),
        "checksum in capitals": body + "_" + key[-8:].upper() + "A",
        "no checksum": body,
        "id in capitals": token.replace(name, name.upper()),
        "id outside base32": "s." + "1" + name[1:] + secret,
        "secret outside base62": token[:-1] + "-",
        "token one short": token[:-1],
        "token one long": token + "0",
        "trailing newline": token + "\n",
        "leading space": " " + token,
        "other prefix": "h" + token,
    }
    for title, text in bad.items():
        digest = hmac_sha256(pepper, b"freehold-chosen-token-id-v1\0" + text.encode())
        chosen = base64.b32encode(digest[:10]).decode().lower()
        located = _credential(pepper, title, text, kind="token", name=chosen, secret=text)
        cases.append({**located, "expect": "MalformedCredential"})
    return cases


def _credential(pepper: bytes, title: str, text: str, *, kind: str, name: str, secret: str) -> Case:
    hashed = hmac_sha256(pepper, b"freehold-credential-secret-v1\0" + secret.encode())
    return make_case(
        title, "success", pepper=pepper, text=text, kind=kind, id=name, secret_hash=hashed
    )


# --- Shamir --------------------------------------------------------------------------------------


def shamir_cases() -> list[Case]:
    """Shares made by hand, and by another implementation."""
    # f(x) = 0x42 + 0x17 x in GF(2^8): f(1) = 55, f(2) = 6c, f(3) = 7b.
    line = ["5501", "6c02", "7b03"]
    # Printed by OpenBao 2.7.2 for a throw-away vault with 5 shares of threshold 3.
    bao = [
        "4cf684cdf4dce67ff80ecb4103d6b19cbd493fe06807982c6c8f922aad7ab794d8",
        "8e065157b9b0c35d7eb58ae8f1a1905517b5da8bff353d11f2c99f63b2f35bdb62",
        "66b15d60294c7af723223d77dfe6bd47e0db5eb648919dd42752fa8a244325f294",
        "bf99e70ad544af7be37d73868e12dff3cbd59ae6ccd4d72b193760b2a4c0226b16",
        "8b0ef075bd42903cb8dd8f9d2ce96925f85201b665441d12b5fb1a355689ed3330",
    ]
    root = "a247563544c9c12d2f38d86256356e8b324ec93af9e70528c2369507007ad3ec"
    good = {
        "two points of a line": (line[:2], "42"),
        "two other points, other order": ([line[2], line[0]], "42"),
        "all three points": (line, "42"),
        "OpenBao, first three": (bao[:3], root),
        "OpenBao, last three": (bao[2:], root),
        "OpenBao, all five backwards": (bao[::-1], root),
    }
    bad = {
        "one share": bao[:1],
        "no shares": [],
        "unequal lengths": [bao[0], bao[1][2:]],
        "only a coordinate": ["01", "02"],
        "coordinate zero": [line[0], "4200"],
        "the same share twice": [line[0], line[0]],
        "two shares with one coordinate": [line[0], "5601"],
    }
    cases = [make_case(n, "success", shares=s, secret=secret) for n, (s, secret) in good.items()]
    return cases + [make_case(n, "MalformedShare", shares=s) for n, s in bad.items()]


# --- break-glass ---------------------------------------------------------------------------------

KEM_SUITE = b"KEM" + u16(0x20)
HPKE_SUITE = b"HPKE" + u16(0x20) + u16(1) + u16(2)
"""RFC 9180, section 7: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """RFC 9180, section 4."""
    return hmac_sha256(salt or bytes(32), b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """RFC 9180, section 4."""
    labeled = u16(length) + b"HPKE-v1" + suite + label + info
    return HKDFExpand(SHA256(), length, labeled).derive(prk)


def hpke_seal(recipient: bytes, plaintext: bytes, info: bytes, label: str) -> bytes:
    """RFC 9180, sections 4.1, 5.1 and 5.2, base mode; the ephemeral key comes from `label`."""
    ephemeral = X25519PrivateKey.from_private_bytes(fixed("ephemeral " + label, 32))
    enc = ephemeral.public_key().public_bytes_raw()
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    prk = labeled_extract(KEM_SUITE, b"", b"eae_prk", dh)
    shared = labeled_expand(KEM_SUITE, prk, b"shared_secret", enc + recipient, 32)
    context = (
        b"\0"
        + labeled_extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
        + labeled_extract(HPKE_SUITE, b"", b"info_hash", info)
    )
    secret = labeled_extract(HPKE_SUITE, shared, b"secret", b"")
    key = labeled_expand(HPKE_SUITE, secret, b"key", context, 32)
    nonce = labeled_expand(HPKE_SUITE, secret, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b"")


def break_glass_row(root: bytes, vault: str, private: bytes, label: str, **more: Any) -> bytes:
    """The row of a set of 3 of 5, with its tag."""
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    info = length_prefixed(b"freehold-break-glass-v1", b"acme", vault.encode(), b"0badcafe")
    sealed = hpke_seal(public, root, info, label)
    row = {
        "org": "acme",
        "vault": vault,
        "in_force": {
            "id": "0badcafe", "shares": 5, "threshold": 3,
            "public_key": base64.b64encode(public).decode(),
            "sealed": base64.b64encode(sealed).decode(),
            "made_at": 1_700_000_000_000_000_000, "made_by": "root",
        },
        **more,
    }  # fmt: skip
    scope = length_prefixed(b"acme", vault.encode())
    key = HKDF(SHA256(), 32, b"freehold-break-glass-record-v1", scope).derive(root)
    tag = hmac_sha256(key, json.dumps(row, separators=(",", ":")).encode())
    return json.dumps(row | {"tag": base64.b64encode(tag).decode()}, separators=(",", ":")).encode()


def break_glass_cases() -> list[Case]:
    """Rows that a private key opens, and rows that it must not."""
    root, private = fixed("root", 32), fixed("break-glass", 32)
    uses = {"uses": 2, "used_at": 1_720_000_000_000_000_000}
    never = break_glass_row(root, "prod", private, "never")
    rows = {
        "never used": ("success", private, never),
        "used twice": ("success", private, break_glass_row(root, "prod", private, "used", **uses)),
        "another private key": ("AuthenticationFailed", fixed("another", 32), never),
        "another vault": (
            "AuthenticationFailed", private, break_glass_row(root, "test", private, "test")
        ),
        "one use more": (
            "AuthenticationFailed", private, never.replace(b'},"tag"', b'},"uses":1,"tag"')
        ),
        "a lower threshold": (
            "AuthenticationFailed", private, never.replace(b'"threshold":3', b'"threshold":2')
        ),
        "no row": ("AuthenticationFailed", private, b"{}"),
    }  # fmt: skip
    return [
        make_case(
            name, expect, org="acme", vault="prod", private_key=key, row=row.decode(), root_key=root
        )
        for name, (expect, key, row) in rows.items()
    ]


def build() -> dict[str, list[Case]]:
    """Every vector file by its name."""
    return {
        "length_prefixed.json": length_prefixed_cases(),
        "sealed.json": sealed_cases(),
        "keyring.json": keyring_cases(),
        "break_glass.json": break_glass_cases(),
        "credentials.json": credential_cases(),
        "shamir.json": shamir_cases(),
    }


def render(cases: list[Case]) -> str:
    """A file's text."""
    return json.dumps({"cases": cases}, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for file, cases in build().items():
        (TARGET / file).write_text(render(cases))
        print(f"{file}: {len(cases)} cases")
