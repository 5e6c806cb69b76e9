"""The listener: its address, its certificate and the names that clients call it by."""

import errno
import os
import shlex
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from protocols.bind_address import format_address
from protocols.http.errors import TlsConfigError
from protocols.http.local_probe import probe
from protocols.http.tls import TlsConfig, build_context
from protocols.instant import DAY, rfc3339
from protocols.pki.certificates import (
    host_names,
    is_for_host,
    parse_pem_chain,
    validity_period,
)
from protocols.pki.errors import ChainError
from vault.config import Settings
from vault.installation.finding import Finding, Installation, error, warning

RENEW_BEFORE: Final = 30 * DAY
LIVE: Final = "/health/live"
_OTHERS: Final = 0o007
_LOW_PORTS: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_RENEW: Final = (
    "run: freehold agent certificate renew --config {config} (or put your own there), then reload "
    "the agent"
)


def is_running(settings: Settings) -> bool:
    """Whether an agent answers at the address of the configuration."""
    answer = probe(*settings.server.address, LIVE, tls=settings.server.tls.enabled)
    return answer is not None and (answer.status == 0 or b'"live"' in answer.body)


def check_address(what: Installation) -> Iterator[Finding]:
    """Whether the agent can listen where it is to."""
    if what.is_running:
        return
    host, port = what.settings.server.address
    shown, user = format_address(host, port), what.machine.user
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with closing(socket.socket(family, kind, number)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except socket.gaierror:
        yield error(
            "address_unknown",
            f"server.listen: {host} has no address",
            "set an address of this machine, or 0.0.0.0 for all of them",
        )
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            yield error(
                "port_taken",
                f"server.listen: another program listens on {shown}",
                f"see which with: ss -tlnp 'sport = :{port}'; end it, or set another port",
            )
        elif failure.errno == errno.EADDRNOTAVAIL:
            yield error(
                "address_not_here",
                f"server.listen: {host} is not an address of this machine",
                "set one that 'ip address' shows, or 0.0.0.0 for all of them",
            )
        elif failure.errno == errno.EACCES:
            yield _low_port(port, user.name)
        else:
            yield error(
                "address_unusable", f"server.listen: {shown}: {failure.strerror}", "set another"
            )
    else:
        if user.uid and os.geteuid() == 0 and 0 < port < _first_free_port():
            yield _low_port(port, user.name)


def _low_port(port: int, user: str) -> Finding:
    return error(
        "port_not_allowed",
        f"server.listen: {user} may not listen on port {port}",
        "set a port from 1024 on, or let systemd listen (freehold-agent.socket)",
    )


def _first_free_port() -> int:
    try:
        return int(_LOW_PORTS.read_text())
    except (OSError, ValueError):
        return 1024


def check_certificate(what: Installation) -> Iterator[Finding]:
    """Whether clients will take the listener's certificate, now and next month."""
    tls = what.settings.server.tls
    if not tls.enabled or tls.cert_file is None or tls.key_file is None:
        return
    there = True
    for key, file in (("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        for found in _check_file(f"server.tls.{key}", file, what):
            there = False
            yield found
    if not there:
        return
    yield from _check_key(tls.key_file)
    try:
        chain = parse_pem_chain(tls.cert_file.read_bytes())
    except (OSError, ChainError) as failure:
        yield error(
            "certificate_unreadable",
            f"server.tls.cert_file: {tls.cert_file} holds no certificate: {failure}",
            "put the certificate there in PEM, and behind it those that it was issued by",
        )
        return
    yield from _check_pair(tls.cert_file, tls.key_file)
    now = what.machine.world.wall()
    for certificate in chain:
        begin, end = validity_period(certificate)
        if now > end:
            yield error(
                "certificate_expired",
                f"{tls.cert_file} expired on {rfc3339(end)}",
                _RENEW.format(config=what.config),
            )
        elif now < begin:
            yield error(
                "certificate_not_yet_valid",
                f"{tls.cert_file} is valid from {rfc3339(begin)} on, and here it is {rfc3339(now)}",
                "set the clock, or wait",
            )
        elif now > end - min(RENEW_BEFORE, (end - begin) // 4):
            yield warning(
                "certificate_expires",
                f"{tls.cert_file} expires on {rfc3339(end)}",
                _RENEW.format(config=what.config),
            )
    for name in what.names:
        if not is_for_host(chain[0], name):
            yield error(
                "certificate_other_name",
                f"{tls.cert_file} is for {', '.join(host_names(chain[0])) or 'no host'}, and "
                f"clients call {name}",
                f"have one issued for {name}, or let clients call a name that it has",
            )


def check_client_authorities(what: Installation) -> Iterator[Finding]:
    """Whether clients' certificates can be verified."""
    tls = what.settings.server.tls
    if not tls.enabled or tls.ca_file is None or tls.client_auth == "none":
        return
    try:
        chain = parse_pem_chain(tls.ca_file.read_bytes())
    except (OSError, ChainError) as failure:
        yield error(
            "client_authority_unusable",
            f"server.tls.ca_file: {tls.ca_file} holds no authority: {failure}",
            "put the certificates of the authorities there, in PEM",
        )
        return
    now = what.machine.world.wall()
    if all(validity_period(each)[1] < now for each in chain):
        yield error(
            "client_authority_expired",
            f"server.tls.ca_file: every authority in {tls.ca_file} has expired",
            "put the new one there, and reload the agent",
        )


def _check_file(key: str, file: Path, what: Installation) -> Iterator[Finding]:
    user, quoted = what.machine.user, shlex.quote(str(file))
    try:
        file.stat()
    except OSError as failure:
        yield error(
            "certificate_missing",
            f"{key}: {file}: {failure.strerror}",
            f"run: freehold agent init --config {what.config}, or put your own there",
        )
        return
    if not what.machine.may(file, os.R_OK):
        yield error(
            "certificate_not_readable",
            f"{key}: {user.name} may not read {file}",
            f"run: chown {user.name} {quoted}",
        )


def _check_key(file: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & _OTHERS:
        yield error(
            "certificate_key_not_private",
            f"server.tls.key_file: everybody may read {file} (mode {mode:04o})",
            f"run: chmod 600 {shlex.quote(str(file))}, and have another certificate issued",
        )


def _check_pair(certificate: Path, key: Path) -> Iterator[Finding]:
    try:
        build_context(TlsConfig(certificate, key))
    except TlsConfigError as failure:
        cause = failure.__cause__
        if isinstance(cause, ssl.SSLError) and cause.reason == "KEY_VALUES_MISMATCH":
            yield error(
                "certificate_other_key",
                f"{certificate} is for another key than {key}",
                "put the pair there that was issued together",
            )
        else:
            yield error(
                "certificate_unusable", str(failure), "put a key in PEM there, in the clear"
            )
