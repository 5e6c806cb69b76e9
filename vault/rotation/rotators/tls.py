"""`tls`: a certificate with a new key, and `tls-authority`: the root that issues it.

The authority is the connection: its certificates and key, the operator's own or those of a secret
that `tls-authority` rotates. Issuing changes nothing anywhere: a server serves the certificate once
it has read the secret, and the old one stays valid until it expires.
"""

import ssl
from re import ASCII
from re import compile as compile_pattern
from socket import create_connection
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from actors import World
from protocols.pki.errors import PkiError
from protocols.pki.profile import HOUR
from protocols.pki.service_certificates import (
    create_service_root,
    issue_service,
    new_service_key,
    read_authority,
    verify_service,
)
from vault.connections.deadline import Deadline
from vault.rotation.rotator import RotationContext, RotationError, RotatorKind, Value
from vault.rotation.rotators.fields import connection_field, value_field

MAX_NAMES: Final = 100
_NAME: Final = compile_pattern(
    r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|[0-9a-f:]+",
    ASCII,
)
_ADDRESS: Final = compile_pattern(r"(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", ASCII)
_MAX_PORT: Final = 65535

Name = Annotated[str, Meta(min_length=1, max_length=253)]


class TlsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `tls`. `names`: DNS names and addresses, at least one; lower case."""

    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MAX_NAMES)]
    algorithm: Literal["ecdsa", "rsa"] = "ecdsa"
    bits: Annotated[int, Meta(ge=3072, le=8192)] = 3072
    hours: Annotated[int, Meta(ge=1, le=398 * 24)] = 30 * 24
    renew_before_hours: Annotated[int, Meta(ge=0, le=398 * 24)] = 10 * 24
    """How long before the end the next one is due; told as `renew_at` in the value."""
    address: Annotated[str, Meta(max_length=300)] = ""
    """host:port of a server that serves this certificate. Empty: none is asked."""
    served_when: Literal["verified", "retired"] = "retired"
    """`retired`: the server reads the secret, so the old certificate is retired when the server
    shows it no more. `verified`: something installs the new one before it is the current value."""

    def __post_init__(self) -> None:
        for name in self.names:
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r} is neither a DNS name in lower case nor an address")
        if self.renew_before_hours >= self.hours:
            raise ValueError("renew_before_hours must be less than hours")
        if self.address:
            found = _ADDRESS.fullmatch(self.address)
            if found is None or not 0 < int(found[2]) <= _MAX_PORT:
                raise ValueError("address must be host:port, an IPv6 address in brackets")


class TlsRotator:
    """See `Rotator`.

    The connection has `certificate` (PEM, the issuer first, then those above it up to the root) and
    `private_key`. The value has `private_key`, `certificate`, `chain` (what a server shows), `ca`
    (the root), `serial`, `not_after` and `renew_at`.
    """

    def __init__(self, config: TlsConfig, world: World) -> None:
        self._config = config
        self._world = world

    def create(self, context: RotationContext, previous: Value) -> Value:
        """Issue one. Nobody else knows of it, so a second one after a crash harms nobody."""
        config = self._config
        certificate = connection_field(context.connection, "certificate")
        authority_key = connection_field(context.connection, "private_key")
        now = self._world.wall()
        try:
            authority = read_authority(authority_key, certificate)
            key = new_service_key(config.algorithm, config.bits, context.random)
            issued = issue_service(
                authority,
                config.names,
                key,
                now=now,
                life=config.hours * HOUR,
                random=context.random,
            )
        except PkiError as error:
            raise RotationError("tls_authority", str(error), is_final=True) from None
        early = config.renew_before_hours * HOUR // 10**9
        renew_at = max(issued.not_after.timestamp() - early, now / 10**9)
        return {
            "private_key": issued.private_key,
            "certificate": issued.certificate,
            "chain": issued.chain,
            "ca": issued.root,
            "serial": issued.serial,
            "not_after": str(int(issued.not_after.timestamp())),
            "renew_at": str(int(renew_at)),
        }

    def apply(self, context: RotationContext, value: Value) -> None:
        """Nothing to change: whoever trusts the root accepts it already."""

    def verify(self, context: RotationContext, value: Value) -> None:
        """The chain leads to the root, now, for every name; the server shows it if it is to."""
        leaf = self._leaf(value)
        if self._config.address and self._config.served_when == "verified":
            shown = self._shown(context)
            if shown != leaf:
                raise RotationError(
                    "tls_not_served",
                    f"{self._config.address} serves another certificate: install the new one there",
                )

    def retire(self, context: RotationContext, value: Value) -> None:
        """The server shows it no more. It stays valid until it expires: there is no revocation."""
        if not self._config.address or self._config.served_when != "retired":
            return
        if self._shown(context) == _der(value_field(value, "certificate")):
            raise RotationError(
                "tls_still_served",
                f"{self._config.address} still serves the old certificate: have it read the secret",
            )

    def _leaf(self, value: Value) -> bytes:
        names = [name.replace("*", "any", 1) for name in self._config.names]
        try:
            return verify_service(
                value_field(value, "private_key"),
                value_field(value, "chain"),
                value_field(value, "ca"),
                names,
                self._world.wall(),
            )
        except PkiError as error:
            raise RotationError("tls_chain", str(error), is_final=True) from None

    def _shown(self, context: RotationContext) -> bytes:
        """The leaf that the server shows, whoever issued it. Nothing is sent to it."""
        host, _, port = self._config.address.rpartition(":")
        host = host.strip("[]")
        # Which certificate it is, is the question: it is compared, and trusted for nothing.
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        deadline = Deadline(context.timeout, self._world.uptime)
        name = next((n for n in self._config.names if "*" not in n), host)
        try:
            with create_connection((host, int(port)), timeout=deadline.left()) as stream:
                stream.settimeout(deadline.left())
                with tls.wrap_socket(stream, server_hostname=name) as secure:
                    return secure.getpeercert(binary_form=True) or b""
        except TimeoutError:
            raise RotationError(
                "tls_timeout", f"{self._config.address} did not answer in time"
            ) from None
        except OSError:
            raise RotationError(
                "tls_unreachable", f"{self._config.address} cannot be asked by TLS: see the server"
            ) from None


class TlsAuthorityConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `tls-authority`."""

    label: Annotated[str, Meta(min_length=1, max_length=64)] = "Freehold services"


class TlsAuthorityRotator:
    """See `Rotator`. The value has `certificate`, `private_key`, and `ca`: the roots to trust."""

    def __init__(self, config: TlsAuthorityConfig, world: World) -> None:
        self._config = config
        self._world = world

    def create(self, context: RotationContext, previous: Value) -> Value:
        """A new root. `ca` holds the one before it too: what that one issued is still in use."""
        certificate, key = create_service_root(
            self._config.label, self._world.wall(), context.random
        )
        return {
            "certificate": certificate,
            "private_key": key,
            "ca": certificate + previous.get("certificate", ""),
        }

    def apply(self, context: RotationContext, value: Value) -> None:
        """Nothing to change: clients read `ca`."""

    def verify(self, context: RotationContext, value: Value) -> None:
        """The key is the certificate's."""
        try:
            read_authority(value_field(value, "private_key"), value_field(value, "certificate"))
        except PkiError as error:
            raise RotationError("tls_authority", str(error), is_final=True) from None

    def retire(self, context: RotationContext, value: Value) -> None:
        """Nothing to change: clients forget the old root with the next rotation."""


def _der(pem: str) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(pem)
    except ValueError:
        raise RotationError(
            "tls_chain", "certificate is no certificate in PEM", is_final=True
        ) from None


def kind(world: World) -> RotatorKind[TlsConfig]:
    """The kind `tls`."""
    return RotatorKind(
        "tls", TlsConfig, lambda config: TlsRotator(config, world), lambda _config: True
    )


def authority_kind(world: World) -> RotatorKind[TlsAuthorityConfig]:
    """The kind `tls-authority`."""
    return RotatorKind(
        "tls-authority",
        TlsAuthorityConfig,
        lambda config: TlsAuthorityRotator(config, world),
        lambda _config: True,
    )
