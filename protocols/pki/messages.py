"""What agents and the control plane say over HTTPS about certificates (docs/spec/pki.md).

JSON, bytes in base64. Unknown fields are refused, everything has a bound, and no name in a request
is believed but the one that a proof comes with.
"""

from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from protocols import json_text
from protocols.hidden_characters import CONTROLS, HIDDEN, JOINERS
from protocols.pki.certificates import MAX_CERTIFICATE, MAX_CHAIN
from protocols.pki.errors import CsrError
from protocols.pki.names import SLUG
from protocols.pki.requests import MAX_REQUEST
from protocols.pki.trust import MAX_ROOTS

M = TypeVar("M", bound=Struct)

MAX_BODY: Final = 8 * 1024
"""Bytes of a request."""
MAX_RESPONSE: Final = 128 * 1024
MAX_RETRY_SECONDS: Final = 3600
"""Seconds until an agent asks again that waits to be let in."""
LINE: Final = rf"\A[^{CONTROLS}{HIDDEN}{JOINERS}]*\Z"

Csr: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=MAX_REQUEST)]
LinkKey: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature: TypeAlias = Annotated[bytes, Meta(min_length=64, max_length=64)]
EcSignature: TypeAlias = Annotated[bytes, Meta(min_length=8, max_length=72)]
"""ECDSA on P-256: two integers of at most 33 bytes, in DER."""
Der: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=MAX_CERTIFICATE)]
Slug: TypeAlias = Annotated[str, Meta(pattern=rf"\A{SLUG}\Z", max_length=64)]


class EnrolRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /link/v1/enrol`: a token lets in."""

    token: Annotated[str, Meta(min_length=1, max_length=64)]
    csr: Csr
    link_key: LinkKey
    proof: Signature
    """By `link_key`, over the csr (`protocols.pki.proof`)."""

    def __repr__(self) -> str:
        return "EnrolRequest(…)"


class JoinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /link/v1/join`: a person lets in. Sent again, unchanged, until it is answered."""

    csr: Csr
    link_key: LinkKey
    proof: Signature
    org: Annotated[str, Meta(pattern=rf"\A(?:{SLUG})?\Z", max_length=64)] = ""
    """Whose people shall see it; empty: only those of the control plane."""
    label: Annotated[str, Meta(max_length=64, pattern=LINE)] = ""
    """For the person: a host's name, for instance. Without control characters."""


class RenewRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /link/v1/renew`: the certificate of the TLS connection lets in."""

    csr: Csr


class RejoinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /link/v1/rejoin`: both keys let in, after the certificate has expired."""

    org: Slug
    vault: Slug
    serial: Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}\Z")]
    """Of the newest certificate that the agent has."""
    csr: Csr
    proof: Signature
    """By the enrolled link key, over org, vault, serial and csr."""
    held: EcSignature
    """By the key of the certificate `serial`, over the same."""


class Grant(Struct, frozen=True, kw_only=True, tag="grant", tag_field="type"):
    """A certificate, and what to trust with it."""

    org: Slug
    vault: Slug
    generation: Annotated[int, Meta(ge=1)]
    chain: Annotated[list[Der], Meta(min_length=2, max_length=MAX_CHAIN)]
    """The leaf, then what to show after it."""
    roots: Annotated[list[Der], Meta(min_length=1, max_length=MAX_ROOTS)]
    cross: Der | None
    """During a rollover, the newest root as certified by the one before (`TrustStore.updated`)."""
    link_key: LinkKey
    """The control plane's: signs what it sends."""
    policy_key: LinkKey
    """Signs policy bundles."""


class Pending(Struct, frozen=True, kw_only=True, tag="pending", tag_field="type"):
    """No answer yet: show `fingerprint` to the person who approves, and ask again."""

    id: str
    fingerprint: str
    retry_after: int
    """Seconds, as said."""

    @property
    def retry_seconds(self) -> int:
        """Seconds to wait, however many were said: no answer silences an agent for days."""
        return min(max(self.retry_after, 0), MAX_RETRY_SECONDS)


def decode_request(kind: type[M], body: bytes) -> M:
    """A request. Raises `CsrError`, which never quotes it."""
    if len(body) > MAX_BODY:
        raise CsrError(f"a request has at most {MAX_BODY} bytes")
    message: M = _decoded(kind, body)
    return message


def decode_response(body: bytes) -> Grant | Pending:
    """An answer. Raises `CsrError`."""
    if len(body) > MAX_RESPONSE:
        raise CsrError(f"an answer has at most {MAX_RESPONSE} bytes")
    answer: Grant | Pending = _decoded(Grant | Pending, body)
    return answer


def encode_message(message: Struct) -> bytes:
    """Its JSON."""
    return msgspec.json.encode(message)


def _decoded(kind: Any, body: bytes) -> Any:
    try:
        return json_text.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CsrError("the body is not the JSON that docs/spec/pki.md describes") from None
