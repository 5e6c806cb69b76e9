"""TLS 1.3 with these certificates: OpenSSL verifies the chain, we verify what it means.

Both ends of the link speak TLS 1.3 only and never resume a session: a resumed one skips the check
of the certificate, so who was removed from the trust store would walk in again.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from cryptography.x509 import Certificate

from protocols.pki.certificates import to_der
from protocols.pki.chain import verify_control_plane
from protocols.pki.errors import PkiError, PkiKeyError
from protocols.pki.trust import TrustStore

Clock: TypeAlias = Callable[[], int]
"""The world's `wall`: Unix nanoseconds. OpenSSL goes by the machine's clock as well."""

Chain: TypeAlias = Sequence[bytes]
"""DER, leaf first, as the peer showed it: not yet verified."""

# An anchor is what we loaded, self-signed or not: a user's own authority, a cross-certificate.
_STRICT: Final = ssl.VerifyFlags.VERIFY_X509_STRICT | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


class TlsIdentity(NamedTuple):
    """Our own certificate: PEM files of the chain (leaf first) and of its key."""

    chain: Path
    key: Path


def server_context(
    identity: TlsIdentity,
    trust: TrustStore,
    *,
    clients: ssl.VerifyMode = ssl.CERT_REQUIRED,
    issuers: Sequence[Certificate] = (),
) -> ssl.SSLContext:
    """For the control plane's listener: `clients` is CERT_OPTIONAL where agents enrol.

    A client's chain must lead to `trust` and be for clients (its EKU). Its name is not looked at:
    `peer_chain` and `chain.read_agent` give it. `issuers` are our own intermediates, whose key we
    hold: a chain may end there, which spares each handshake the verifying of a P-384 signature.
    Raises `PkiKeyError` for files that do not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.num_tickets = 0
    context.verify_mode = clients
    anchors = [*trust.to_der(), *map(to_der, issuers)]
    context.load_verify_locations(cadata=b"".join(anchors))
    _load(context, identity)
    return context


def agent_context(identity: TlsIdentity | None, trust: TrustStore, now: Clock) -> ssl.SSLContext:
    """For an agent: shows its certificate, and takes none but the control plane's.

    Without `identity` it shows none (one that has expired, to come back). The handshake fails with
    `ssl.SSLCertVerificationError` when the peer is not the control plane by `trust`. Raises
    `PkiKeyError` for files that do not fit.
    """
    context = _client(lambda chain: verify_control_plane(chain, trust, now()))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=b"".join(trust.to_der()))
    if identity is not None:
        _load(context, identity)
    return context


def pinned_context(pin: str, now: Clock) -> ssl.SSLContext:
    """For an agent that has nothing but an address and the authority's pin.

    The peer shows its chain up to the pinned authority; the handshake fails with
    `ssl.SSLCertVerificationError` before a byte of ours is sent (a token!) when it does not.
    OpenSSL has no root to verify with, so it verifies only that the peer has its leaf's key, and
    the chain is ours to verify.
    """

    def check(chain: Chain) -> object:
        return verify_control_plane(chain, TrustStore.from_pin(chain, pin), now())

    context = _client(check)
    context.verify_mode = ssl.CERT_NONE
    return context


def peer_chain(connection: ssl.SSLObject | ssl.SSLSocket) -> list[bytes]:
    """What the peer showed, leaf first; empty when it showed none."""
    inner: Any = connection._sslobj if hasattr(connection, "_sslobj") else connection  # noqa: SLF001
    shown = inner.get_unverified_chain() or []
    # A server whose client showed nothing is given [None].
    return [c if isinstance(c, bytes) else _der(c) for c in shown if c is not None]


class _Checked:
    """A TLS connection whose handshake ends with a check of ours."""

    def do_handshake(self, *args: Any, **options: Any) -> None:
        super().do_handshake(*args, **options)  # type: ignore[misc]  # the class it is mixed into
        try:
            self.context.check(peer_chain(self))  # type: ignore[attr-defined, arg-type]
        except PkiError as error:
            raise ssl.SSLCertVerificationError(1, f"{error.code}: {error}") from None


class _CheckedObject(_Checked, ssl.SSLObject):
    pass


class _CheckedSocket(_Checked, ssl.SSLSocket):
    pass


class _CheckingContext(ssl.SSLContext):
    """Makes connections that are checked, whichever way a library makes them."""

    check: Callable[[Chain], object]
    sslobject_class = _CheckedObject
    sslsocket_class = _CheckedSocket


def _client(check: Callable[[Chain], object]) -> ssl.SSLContext:
    context = _CheckingContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    # The control plane is known by its URI, wherever it was dialled (`verify_control_plane`).
    context.check_hostname = False
    context.check = check
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.verify_flags |= _STRICT


def _load(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    try:
        context.load_cert_chain(identity.chain, identity.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise PkiKeyError(
            f"cannot use certificate {identity.chain} with key {identity.key}: "
            f"{getattr(error, 'reason', None) or type(error).__name__}"
        ) from error


def _no_password() -> str:
    """OpenSSL would ask on the terminal for an encrypted key's password, and hang a service."""
    raise ValueError("the key is encrypted; it is needed in the clear, mode 0600")


def _der(shown: Any) -> bytes:
    """Python before 3.13 answers with objects of a class that it does not export."""
    der: int = 2  # _ssl.ENCODING_DER
    encoded: bytes = shown.public_bytes(der)
    return encoded
