"""The first run: a commented configuration, folders, and a certificate where there is none.

Nothing that is there is changed.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from actors import World
from protocols.instant import DAY
from protocols.pki.certificates import host_names, parse_pem_chain
from protocols.pki.errors import PkiError
from protocols.pki.files import PUBLIC_MODE, SECRET_MODE, read_file, write_atomically
from protocols.pki.service_certificates import (
    create_service_root,
    issue_service,
    new_service_key,
    read_authority,
)
from vault.crypto.random import random_bytes
from vault.errors import ConflictError, SetupError
from vault.installation.machine import User

SETTINGS_MODE: Final = 0o640
FOLDER_MODE: Final = 0o700
CERTIFICATE_LIFE: Final = 397 * DAY
"""What browsers and Apple's systems take at most from an authority of one's own, near enough."""
AUTHORITY: Final = "ca.crt"
AUTHORITY_KEY: Final = "ca.key"

_SETTINGS: Final = """\
# Freehold agent, made by `freehold agent init`. Every other key has a sensible default:
# docs/reference/configuration.md. Paths may be relative to this file's folder. An environment
# variable wins over the file: FREEHOLD_AGENT_SERVER__LISTEN=… sets server.listen.

server:
  listen: "{listen}"
  web: {web}                   # the agent's own pages, https://HOST:PORT/ in a browser
  tls:
    cert_file: "{tls}/server.crt"   # read again at a reload (SIGHUP), without dropping anybody
    key_file: "{tls}/server.key"

storage:
  type: "sqlite"               # or postgresql, mysql: docs/guides/database-servers.md
  connection_string: "sqlite:///{database}"

encryption:
{encryption}
audit:
  log_file: "{logs}/audit.log"    # every answer waits for its record here

anchor:                        # notices that older copies of database and log were put back:
  file: "{anchor}/vault.anchor"   # keep it on another volume than both

backup:
  enabled: false               # true, and destinations, before real secrets: docs/guides/backup.md
  # destinations:
  #   - type: "local"
  #     path: "/backup/freehold"
"""
_SHAMIR: Final = """\
  key_management: "shamir"     # people unseal after each start; or file, hsm, cloud_kms: by itself
"""
_FILE: Final = """\
  key_management: "file"       # the agent unseals by itself; or shamir: people do, after each start
  key_file: "{key}/root.key"   # made by `freehold operator init`: keep a copy elsewhere
"""


@dataclass(frozen=True)
class FirstRun:
    """What is to be made, and for whom. Folders: `data`, and beside it `-anchor` and `-key`."""

    config: Path
    user: User
    names: tuple[str, ...]
    listen: str
    data: Path
    logs: Path
    key_file: bool = False
    web: bool = True

    @property
    def tls(self) -> Path:
        """The folder of the certificate."""
        return self.config.absolute().parent / "tls"

    @property
    def anchor(self) -> Path:
        """The folder of the anchor."""
        return self.data.with_name(f"{self.data.name}-anchor")

    @property
    def key(self) -> Path:
        """The folder of the root key."""
        return self.data.with_name(f"{self.data.name}-key")

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those that the agent writes in."""
        return self.data, self.anchor, *((self.key,) if self.key_file else ()), self.logs

    def settings(self) -> str:
        """The text of the configuration."""
        encryption = _FILE.format(key=self.key) if self.key_file else _SHAMIR
        return _SETTINGS.format(
            listen=self.listen,
            web=str(self.web).lower().ljust(5),
            tls=self.tls,
            database=quote(str(self.data / "vault.db")),
            encryption=encryption,
            logs=self.logs,
            anchor=self.anchor,
        )


def prepare(run: FirstRun) -> list[str]:
    """Make what is not there; returns what was made, a line each.

    Raises `SetupError` (`init_failed`) for what cannot be written.
    """
    made = list[str]()
    try:
        run.config.absolute().parent.mkdir(parents=True, exist_ok=True)
        if run.config.exists():
            made.append(f"kept {run.config}")
        else:
            write_atomically(run.config, run.settings().encode(), SETTINGS_MODE)
            _give(run.config, run.user)
            made.append(f"wrote {run.config}")
        for folder in run.folders:
            if not folder.exists():
                folder.mkdir(mode=FOLDER_MODE, parents=True)
                _give(folder, run.user)
                made.append(f"made {folder}")
    except (OSError, PkiError) as failure:
        raise SetupError(
            "init_failed",
            f"{_said(failure)}; run this as root, or choose other places with --config, --data-dir "
            "and --log-dir",
        ) from failure
    return made


def make_certificate(
    certificate: Path, key: Path, names: tuple[str, ...], user: User, world: World
) -> list[str]:
    """An authority and a certificate of it for `names`, unless there is one of the two files.

    Returns what was made. Raises `SetupError` (`init_failed`).
    """
    there = [file for file in (certificate, key) if file.exists()]
    if there:
        return [f"kept {', '.join(map(str, there))}"]
    folder = certificate.parent
    root, root_key = folder / AUTHORITY, folder / AUTHORITY_KEY
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not root.exists():
            pem, secret = create_service_root(
                f"Freehold {names[0]}"[:60], world.wall(), random_bytes
            )
            write_atomically(root_key, secret.encode(), SECRET_MODE)
            write_atomically(root, pem.encode(), PUBLIC_MODE)
        _issue(certificate, key, names, user, world)
    except (OSError, PkiError) as failure:
        raise SetupError(
            "init_failed", f"no certificate is made: {_said(failure)}; correct that and repeat"
        ) from failure
    return [
        f"made {root}, an authority of this machine alone",
        f"made {certificate} for {', '.join(names)}",
    ]


def renew_certificate(certificate: Path, key: Path, world: World) -> str:
    """Another certificate of the same authority, key included, for the same names.

    Returns its last day. Raises `ConflictError` (`no_authority`), `SetupError` (`renew_failed`).
    """
    root_key = certificate.with_name(AUTHORITY_KEY)
    if not root_key.exists():
        raise ConflictError(
            "no_authority",
            f"{root_key} is not here: the certificate was not made by 'freehold agent init', or "
            "the key was moved away; put it back, or have a certificate issued elsewhere",
        )
    try:
        names = host_names(parse_pem_chain(read_file(certificate))[0])
        owner = certificate.stat()
        user = User(str(owner.st_uid), owner.st_uid, owner.st_gid)
        return _issue(certificate, key, names, user, world, replace=True)
    except (OSError, PkiError, IndexError) as failure:
        raise SetupError(
            "renew_failed",
            f"the certificate stays as it is: {_said(failure)}; correct that and repeat",
        ) from failure


def trust_command(run: FirstRun) -> str:
    """What makes a Debian machine trust the authority."""
    root = shlex.quote(str(run.tls / AUTHORITY))
    return (
        f"install -m 0644 {root} /usr/local/share/ca-certificates/freehold.crt && "
        "update-ca-certificates"
    )


def _issue(
    certificate: Path,
    key: Path,
    names: tuple[str, ...],
    user: User,
    world: World,
    *,
    replace: bool = False,
) -> str:
    root, root_key = certificate.with_name(AUTHORITY), certificate.with_name(AUTHORITY_KEY)
    authority = read_authority(read_file(root_key, secret=True).decode(), read_file(root).decode())
    issued = issue_service(
        authority,
        names,
        new_service_key("ecdsa", 256, random_bytes),
        now=world.wall(),
        life=CERTIFICATE_LIFE,
        random=random_bytes,
    )
    # The key first: a reload between the two finds a pair that does not fit, and keeps the old one.
    write_atomically(key, issued.private_key.encode(), SECRET_MODE, replace=replace)
    _give(key, user)
    write_atomically(certificate, issued.chain.encode(), PUBLIC_MODE, replace=replace)
    _give(certificate, user)
    return f"{issued.not_after:%Y-%m-%d}"


def _give(path: Path, user: User) -> None:
    """Have it belong to the agent's user; only root can."""
    if os.geteuid() == 0 and user.uid != 0:
        os.chown(path, user.uid, user.gid)


def _said(failure: Exception) -> str:
    if isinstance(failure, OSError):
        return f"{failure.filename}: {failure.strerror}"
    return str(failure)
