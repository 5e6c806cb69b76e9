"""Signed notes (C2SP signed-note) with one Ed25519 signature that is ours.

Source: https://c2sp.org/signed-note. Lines by other signers may follow ours; they are not looked
at. Pure: digest, signature and its check are handed in.
"""

import base64
import hmac
from collections.abc import Callable
from typing import Final

from protocols.merkle import HashFunction

_ED25519: Final = b"\x01"  # the signature type that goes into the key id
_SIGNATURE: Final = 64
_KEY_ID: Final = 4
_PUBLIC: Final = 32


def sign_note(
    text: bytes, name: str, public: bytes, sign: Callable[[bytes], bytes], digest: HashFunction
) -> str:
    """The note of a text that ends with a newline. `name`: of the key, the text's first line."""
    signature = _key_id(digest, name, public) + sign(text)
    return f"{text.decode()}\n— {name} {base64.b64encode(signature).decode()}\n"


def note_text(note: str) -> bytes:
    """What is signed, its last newline included; unverified."""
    return (note.partition("\n\n— ")[0] + "\n").encode()


def verify_note(
    note: str,
    name: str,
    public: bytes,
    verify: Callable[[bytes, bytes, bytes], bool],
    digest: HashFunction,
    *,
    what: str = "note",
) -> bytes:
    """The text that this key has signed. Raises `ValueError` about `what` otherwise.

    `verify` is asked for (public key, text, signature).
    """
    text, blank, signatures = note.partition("\n\n— ")
    line = f"— {signatures}".split("\n")[0] if blank else ""
    signer, _, encoded = line.removeprefix("— ").partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError(f"the {what}'s signature is not base64") from None
    if signer != name or len(blob) != _KEY_ID + _SIGNATURE:
        raise ValueError(f"the {what} is not signed by {name}")
    if not hmac.compare_digest(blob[:_KEY_ID], _key_id(digest, name, public)):
        raise ValueError(f"the {what} is signed by another key")
    signed = (text + "\n").encode()
    if not verify(public, signed, blob[_KEY_ID:]):
        raise ValueError(f"the {what}'s signature is wrong")
    return signed


def verifier_key(name: str, public: bytes, digest: HashFunction) -> str:
    """The public key as verifiers of signed notes take it: name, key id and key."""
    key = base64.b64encode(_ED25519 + public).decode()
    return f"{name}+{_key_id(digest, name, public).hex()}+{key}"


def parse_verifier_key(text: str, digest: HashFunction) -> tuple[str, bytes]:
    """The inverse of `verifier_key`: name and public key. Raises `ValueError`."""
    name, _, rest = text.strip().partition("+")  # base64 may have further ones
    key_id, _, encoded = rest.partition("+")
    blob = base64.b64decode(encoded, validate=True)
    key = blob.removeprefix(_ED25519)
    if len(key) != _PUBLIC or verifier_key(name, key, digest) != f"{name}+{key_id}+{encoded}":
        raise ValueError("a verifier key is a name, a key id and an Ed25519 key, joined by +")
    return name, key


def _key_id(digest: HashFunction, name: str, public: bytes) -> bytes:
    return digest(name.encode() + b"\n" + _ED25519 + public)[:_KEY_ID]
