"""TLS contexts for the listener: TLS 1.2 or later, forward secrecy, no resumption."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from protocols.http.errors import TlsConfigError
from protocols.instant import SECOND

ALPN = ["h2", "http/1.1"]

# RFC 9113 section 9.2.2 forbids the rest to HTTP/2 under TLS 1.2; TLS 1.3 suites are all sound.
CIPHERS_TLS12 = "ECDHE+AESGCM:ECDHE+CHACHA20"

_VERIFY = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Where the PEM files are: our chain and key, and the authorities that vouch for clients."""

    cert_file: Path
    key_file: Path
    ca_file: Path | None = None
    client_auth: Literal["none", "optional", "required"] = "none"


def build_context(config: TlsConfig) -> ssl.SSLContext:
    """Read the files of `config` into a new server context.

    Sessions are never resumed: a resumed session skips the check of the client's certificate, so
    one who was removed from the trust store would walk in again. Tickets are off in TLS 1.2
    (OP_NO_TICKET) and 1.3 (num_tickets). OpenSSL's cache of TLS 1.2 session ids belongs to its
    context and every reload builds a new one.

    Raises TlsConfigError, which names the file at fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.num_tickets = 0
    context.set_ciphers(CIPHERS_TLS12)
    context.set_alpn_protocols(ALPN)
    try:
        context.load_cert_chain(config.cert_file, config.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsConfigError(
            f"cannot use certificate {config.cert_file} with key {config.key_file}: {error}"
        ) from error
    _trust_clients(context, config)
    return context


def check_dates(config: TlsConfig, now: float) -> None:
    """Raise TlsConfigError if the certificate is not valid at `now` (seconds since the epoch)."""
    from protocols.pki.certificates import (  # servers without TLS load none
        parse_pem_chain,
        validity_period,
    )
    from protocols.pki.errors import ChainError

    try:
        chain = parse_pem_chain(config.cert_file.read_bytes())
    except (OSError, ChainError) as error:
        raise TlsConfigError(f"cannot read certificate {config.cert_file}: {error}") from error
    for certificate in chain:
        begin, end = (instant / SECOND for instant in validity_period(certificate))
        if not begin <= now <= end:
            word, at = ("expired on", end) if now > end else ("is not valid before", begin)
            date = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
            raise TlsConfigError(f"certificate {config.cert_file} {word} {date}")


def _trust_clients(context: ssl.SSLContext, config: TlsConfig) -> None:
    if config.client_auth == "none":
        return
    if config.ca_file is None:
        raise TlsConfigError(f"client_auth {config.client_auth!r} needs a ca_file")
    try:
        context.load_verify_locations(config.ca_file)
    except (OSError, ValueError) as error:
        raise TlsConfigError(f"cannot use trust store {config.ca_file}: {error}") from error
    if not context.get_ca_certs():
        raise TlsConfigError(f"trust store {config.ca_file} holds no certificate authority")
    context.verify_mode = _VERIFY[config.client_auth]


def _no_password() -> str:
    """OpenSSL would ask on the terminal for an encrypted key's password, and hang a service."""
    raise ValueError("the key is encrypted; the agent needs it in the clear, mode 0600")
