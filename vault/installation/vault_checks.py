"""What the agent keeps: database, seal, audit log, backups; and its control plane."""

import os
import shlex
import socket
import ssl
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from protocols import json_text
from protocols.errors import ApiError
from protocols.http.local_probe import is_port_open, probe
from protocols.instant import rfc3339
from protocols.pki.certificates import parse_pem_chain, validity_period
from protocols.pki.errors import ChainError
from vault.app import make_server_backend
from vault.authz.ceiling import read_ceiling
from vault.config import Settings
from vault.config.backup_destinations import LocalDestination, SftpDestination
from vault.config.key_providers import CloudKmsSettings, HsmSettings
from vault.control_link.null import link_folder
from vault.errors import TamperedError, VaultError
from vault.installation.finding import Finding, Installation, error, warning
from vault.installation.machine import existing
from vault.seal.inspection import ROWS, break_glass_state, provider_wrappings
from vault.seal.manager import SEAL_ROW
from vault.seal.seal_record import SealRecord
from vault.store.inspection import inspect_file
from vault.store.schema import DatabaseState

_ROOT_KEY_BYTES: Final = 32
_SLOW: Final = 0.25
"""Seconds for a look at a database: a request takes several round trips."""
_SEALED: Final = "/v1/sys/seal-status"
_GOOGLE: Final = "https://cloudkms.googleapis.com"


def check_database(what: Installation) -> Iterator[Finding]:
    """Whether it is reached, sound, and of this program; then how it is sealed."""
    storage, world = what.settings.storage, what.machine.world
    begun = world.uptime()
    try:
        if storage.server is not None:
            state = make_server_backend(storage, storage.server).inspect(*ROWS)
        elif storage.file is not None and storage.file.exists():
            state = inspect_file(storage.file, *ROWS)
        else:
            state = DatabaseState()
    except VaultError as failure:
        yield _database_error(failure)
        return
    taken = world.uptime() - begun
    if storage.server is not None and taken > _SLOW:
        yield warning(
            "database_slow",
            f"the database took {taken:.2f} s to answer",
            "move the agent near to it: each request asks it several times",
        )
    yield from _check_state(state)
    yield from _check_seal(state, what)


def _database_error(failure: VaultError) -> Finding:
    if failure.code == "store_corrupt":
        return error(
            "database_damaged",
            f"the database is damaged: {failure.message}",
            "stop the agent, keep the files, and restore a backup: freehold backup restore",
        )
    return error(
        "database_unreachable",
        f"the database cannot be used: {failure.message}",
        "see that it runs, and that address, user, password and storage.tls are right",
    )


def _check_state(state: DatabaseState) -> Iterator[Finding]:
    if state.too_old:
        yield error(
            "database_too_old", f"the server is {state.too_old}", "upgrade it, or take another one"
        )
    for reason in state.unsafe:
        yield error("database_unsafe", f"this database is refused: {reason}", "change that there")
    if state.is_unfinished:
        yield error(
            "schema_unfinished",
            "a copy or a restore to this database was interrupted",
            "run the same 'freehold storage migrate' or 'freehold backup restore' again",
        )
    elif state.is_newer:
        yield error(
            "schema_newer",
            f"a newer Freehold has written the database (schema {state.step})",
            "install that version again, or restore a backup of before: docs/start/upgrade.md",
        )
    elif state.is_older:
        yield warning(
            "schema_old",
            f"the database is of an older Freehold (schema {state.step}); a start changes it",
            "take a backup first, as there is no way back: docs/start/upgrade.md",
        )


def _check_seal(state: DatabaseState, what: Installation) -> Iterator[Finding]:
    settings = what.settings
    if SEAL_ROW not in state.rows:
        if not state.too_old:
            yield from _check_new(what)
        return
    try:
        record = json_text.decode(state.rows[SEAL_ROW], type=SealRecord)
    except msgspec.MsgspecError:
        yield error(
            "seal_damaged",
            "the row that says how the vault is sealed is damaged",
            "restore a backup",
        )
        return
    wanted, is_moving = settings.encryption.key_management, settings.encryption.migrate_from
    has = "provider" if record.is_wrapped else record.type
    if has == (wanted if wanted in {"shamir", "file"} else "provider"):
        if settings.encryption.key_file is not None:
            yield from _check_root_key(settings.encryption.key_file)
        elif not is_moving:  # else it has the former seal until then
            yield from _check_wrappings(record, what)
    elif not is_moving:
        yield error(
            "key_management_changed",
            f"encryption.key_management is {wanted}, and the vault was made with {record.type}",
            "set it back; 'freehold operator rekey' is the way to change it",
        )
    yield from _check_break_glass(record, state)
    if not settings.anchor_file.exists():
        yield error(
            "anchor_missing",
            f"anchor.file: {settings.anchor_file} is gone, and this vault had one",
            "put it back; if it is lost: freehold operator accept-rollback",
        )
    if what.is_running:
        yield from _check_sealed(settings)


def _check_new(what: Installation) -> Iterator[Finding]:
    settings = what.settings
    left = [file for file in (settings.anchor_file, settings.audit_log) if file.exists()]
    if left:
        yield error(
            "left_of_another_vault",
            f"there is no vault in the database, and {', '.join(map(str, left))} of one",
            "put its database back, or move these files away to begin anew",
        )
    else:
        yield warning(
            "not_initialized",
            "there is no vault yet",
            "start the agent and run: freehold operator init",
        )


def _check_root_key(file: Path) -> Iterator[Finding]:
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        yield error(
            "root_key_missing",
            f"encryption.key_file: {file} is gone, and without it nothing can be decrypted",
            "put the copy back that you keep elsewhere, with mode 0600",
        )
    except OSError as failure:
        yield error(
            "root_key_unreadable",
            f"encryption.key_file: {file}: {failure.strerror}",
            "let the agent's user read it",
        )
    else:
        if size != _ROOT_KEY_BYTES:
            yield error(
                "root_key_damaged",
                f"encryption.key_file: {file} has {size} bytes, a root key {_ROOT_KEY_BYTES}",
                "put the copy back that you keep elsewhere",
            )


def _check_wrappings(record: SealRecord, what: Installation) -> Iterator[Finding]:
    """Whether each key provider could unseal the vault."""
    encryption = what.settings.encryption
    found = provider_wrappings(record, encryption, what.machine.world)
    if found and not any(each.wrapped for each in found):
        yield error(
            "seal_mismatch",
            "no key provider of encryption has wrapped the root key; those that have: "
            + ", ".join(f"{each.provider} ({each.type})" for each in record.wrappings),
            "put one of these back, under its name: docs/guides/seal-migration.md",
        )
        return
    for name, _, wrapped in found:
        if wrapped is None:
            yield warning(
                "key_provider_not_wrapping",
                f"the key provider {name} has not wrapped the root key, and cannot unseal",
                "start the agent with this provider and unseal: within a minute the root key is "
                "wrapped by it. If not, the agent's log says why",
            )
        elif wrapped.is_behind:
            yield warning(
                "key_provider_behind",
                f"the key provider {name} was away when the others rotated their keys",
                "see that the agent reaches it: the root key is then wrapped by it anew",
            )
    wrapping = {each.name for each in found if each.wrapped is not None}
    for each in encryption.providers:
        if each.key_file is not None and each.name in wrapping and not each.key_file.is_file():
            yield error(
                "wrapping_keys_missing",
                f"encryption.providers: {each.name}: {each.key_file} is gone, and the root key is "
                "wrapped by a key in it",
                "put the copy back that you keep elsewhere; only the other providers that have "
                "wrapped the root key unseal until then",
            )


def _check_break_glass(record: SealRecord, state: DatabaseState) -> Iterator[Finding]:
    """Whether there is another way in where the root key is at one place only."""
    try:
        found = break_glass_state(record, state.rows)
    except TamperedError:
        yield error(
            "break_glass_damaged",
            "the row of the break-glass set is damaged: its shares open nothing",
            "restore a backup, and find out who can write the database",
        )
        return
    if not found.set:
        if record.type != "shamir":  # else people have shares already
            yield warning(
                "break_glass_missing",
                "there is no break-glass set: without its key provider or key file nobody opens "
                "the vault",
                "run: freehold operator break-glass init --shares 5 --threshold 3",
            )
    elif found.set_uses:
        yield warning(
            "break_glass_spent",
            "the break-glass set has opened the vault: who saw its shares may open it again",
            "run: freehold operator break-glass init --replace",
        )


def _check_sealed(settings: Settings) -> Iterator[Finding]:
    answer = probe(*settings.server.address, _SEALED, tls=settings.server.tls.enabled)
    if answer is not None and b'"sealed":true' in answer.body.replace(b" ", b""):
        yield warning(
            "sealed",
            "the vault is sealed: the agent runs, and answers nobody",
            "run: freehold operator unseal",
        )


def check_key_provider(what: Installation) -> Iterator[Finding]:
    """Whether what unseals the vault is installed, and somebody answers at its address.

    Whether a provider does what it is asked to, only the agent can tell: it has the credentials.
    """
    encryption = what.settings.encryption
    yield from _check_provider("encryption.", encryption.hsm, encryption.cloud_kms)
    for each in encryption.providers:
        yield from _check_provider(f"encryption.providers: {each.name}: ", each.hsm, each.cloud_kms)


def _check_provider(
    key: str, hsm: HsmSettings | None, cloud: CloudKmsSettings | None
) -> Iterator[Finding]:
    needs = {
        "hsm": ("pkcs11", hsm is not None),
        "aws": ("botocore", cloud is not None and cloud.aws is not None),
        "gcp": ("google.cloud.kms_v1", cloud is not None and cloud.gcp is not None),
        "azure": ("azure.keyvault.keys", cloud is not None and cloud.azure is not None),
    }
    for extra, (library, wanted) in needs.items():
        if wanted and not _is_installed(library):
            section = "hsm" if cloud is None else "cloud_kms"
            yield error(
                "library_missing",
                f"{key}{section} needs the library {library}",
                f"run: pip install 'freehold[{extra}]'",
            )
    if hsm is not None and not hsm.module.is_file():
        yield error(
            "hsm_module_missing",
            f"{key}hsm.module: there is no file {hsm.module}",
            "install the vendor's PKCS#11 module, or set its path",
        )
    address = "" if cloud is None else _address_of(cloud)
    if address and not _is_reachable(address):
        yield warning(
            "key_provider_unreachable",
            f"{key}cloud_kms: nobody answers at {address}",
            "check the name, the route and the firewall; ignore this if the machine reaches it "
            "by a proxy only (HTTPS_PROXY)",
        )


def _address_of(cloud: CloudKmsSettings) -> str:
    """Where it is called; empty: its library finds that out."""
    if cloud.transit is not None:
        return cloud.transit.address
    if cloud.azure is not None:
        return cloud.azure.vault
    if cloud.gcp is not None:
        return cloud.gcp.endpoint or _GOOGLE
    return "" if cloud.aws is None else cloud.aws.endpoint


def check_login_methods(what: Installation) -> Iterator[Finding]:
    """Whether what the named login methods need is installed."""
    for extra, library in what.settings.authentication.missing_libraries.items():
        yield error(
            "library_missing",
            f"authentication.methods: {extra} needs the library {library}",
            f"run: pip install 'freehold[{extra}]', or leave {extra} out",
        )


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:
        return False


def check_audit(what: Installation) -> Iterator[Finding]:
    """Whether every sink takes records, and keeps them."""
    audit = what.settings.audit
    if audit.forward_to_syslog and not what.machine.syslog.exists():
        yield error(
            "syslog_missing",
            f"audit.forward_to_syslog: there is no {what.machine.syslog} to send to",
            "start a syslog daemon (or systemd-journald), or turn it off",
        )
    if audit.durability == "write":
        yield warning(
            "audit_not_durable",
            "audit.durability is write: a power cut may take the last records",
            "set it to fsync unless you accept that",
        )


def check_backups(what: Installation) -> Iterator[Finding]:
    """Whether a lost machine would be the end of the secrets."""
    backup, machine = what.settings.backup, what.machine
    if not backup.enabled:
        yield warning(
            "no_backup",
            "backup.enabled is false: nothing makes backups",
            "set backup.enabled and backup.destinations: docs/guides/backup.md",
        )
        return
    data = existing(what.settings.data_folder).stat().st_dev
    for place in backup.destinations:
        key = f"backup.destinations: {place.name}"
        if isinstance(place, LocalDestination):
            there = existing(place.path)
            if not machine.may(there, os.W_OK, os.X_OK):
                quoted = shlex.quote(str(place.path))
                yield error(
                    "backup_not_writable",
                    f"{key}: {machine.user.name} may not write in {place.path}",
                    f"run: install -d -o {machine.user.name} -m 0700 {quoted}",
                )
            if there.stat().st_dev == data:
                yield warning(
                    "backup_beside_data",
                    f"{key}: {place.path} is on the same disk as the data",
                    "add a destination on another machine",
                )
        else:
            library = "asyncssh" if isinstance(place, SftpDestination) else "obstore"
            if not _is_installed(library):
                yield error(
                    "library_missing",
                    f"{key}: needs the library {library}",
                    "run: pip install 'freehold[backup]'",
                )


def check_control_plane(what: Installation) -> Iterator[Finding]:
    """Whether the agent is enrolled, and its control plane is there."""
    link = what.settings.control_plane
    if link.ceiling is not None:
        try:
            read_ceiling(link.ceiling)
        except ApiError as failure:
            yield error(
                "ceiling_unusable",
                f"control_plane.ceiling: {failure.message}",
                "correct the document: docs/guides/push-policies.md",
            )
    if not link.enabled:
        return
    folder = link_folder(what.settings)
    addresses = [link.endpoint, *link.endpoints] if link.endpoint else [*link.endpoints]
    if (folder / "enrolment.json").exists():
        certificate = link.certificate_path or folder / "agent.crt"
        yield from _check_enrolment(
            certificate, link.private_key_path or folder / "agent.key", what
        )
        addresses = [*_enrolled_at(folder / "enrolment.json"), *link.endpoints]
    elif not (link.endpoint and link.pin):
        yield error(
            "not_enrolled",
            "control_plane.enabled is true, and the agent is not enrolled",
            "run: freehold agent enrol --config FILE --control https://HOST:8301 --pin PIN",
        )
    for address in dict.fromkeys(addresses):
        yield from _check_reachable(address)


class _Enrolled(msgspec.Struct):
    """What is looked at in `enrolment.json`."""

    endpoint: str = ""


def _enrolled_at(file: Path) -> Iterator[str]:
    try:
        found = json_text.decode(file.read_bytes(), type=_Enrolled).endpoint
    except (OSError, msgspec.MsgspecError):
        return
    if found:
        yield found


def _check_enrolment(certificate: Path, key: Path, what: Installation) -> Iterator[Finding]:
    again = "enrol the agent again: docs/guides/enrol-agents.md"
    try:
        _, end = validity_period(parse_pem_chain(certificate.read_bytes())[0])
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)
    except (OSError, ChainError, IndexError) as failure:
        yield error(
            "enrolment_damaged",
            f"the certificate of the enrolment cannot be used: {certificate}: {failure}",
            again,
        )
        return
    late = what.machine.world.wall() - end
    if late > 0:
        yield error(
            "enrolment_expired",
            f"the certificate of the enrolment expired on {rfc3339(end)}",
            "start the agent where it reaches its control plane, so that it comes back by itself; "
            f"if it is refused, {again}",
        )


def _is_reachable(address: str) -> bool:
    parts = urlsplit(address)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        return is_port_open(parts.hostname or "", port)
    except (socket.gaierror, UnicodeError):  # the latter for a name that cannot be one
        return False


def _check_reachable(address: str) -> Iterator[Finding]:
    if not _is_reachable(address):
        yield warning(
            "control_plane_unreachable",
            f"nobody answers at the control plane's {address}",
            "see that it runs, and that name and firewall let this machine there",
        )
