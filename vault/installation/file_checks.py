"""Files and folders: owners, modes, space, and the file systems that they are on."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vault.config import Settings
from vault.control_link.null import link_folder
from vault.installation.finding import Finding, Installation, error, warning
from vault.installation.machine import Machine, existing
from vault.jobs.disk_monitor import DiskThreshold

_OTHERS: Final = 0o007
_GROUP_AND_OTHERS: Final = 0o077
_FULL: Final = 16 << 20  # bytes: the agent's next files do not fit
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_OF_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"})
_WITHOUT_BARRIER: Final = frozenset({"nobarrier", "barrier=0", "sync=disabled"})


def places(settings: Settings) -> dict[str, Path]:
    """The files that the agent writes, by the key that says where they are."""
    found = {"audit.log_file": settings.audit_log, "anchor.file": settings.anchor_file}
    if settings.storage.file is not None:
        found["storage.connection_string"] = settings.storage.file
    if settings.encryption.key_file is not None:
        found["encryption.key_file"] = settings.encryption.key_file
    if settings.control_plane.enabled:
        found["control_plane.folder"] = link_folder(settings) / "enrolment.json"
    return found


def check_settings_file(what: Installation) -> Iterator[Finding]:
    """Who may read and change the configuration."""
    file, machine = what.config, what.machine
    found = file.stat()
    name = shlex.quote(str(file))
    if found.st_mode & stat.S_IWOTH:
        yield error(
            "settings_writable",
            f"everybody may change {file} (mode {stat.S_IMODE(found.st_mode):04o})",
            f"run: chmod 640 {name}",
        )
    if found.st_mode & stat.S_IROTH and _holds_password(what.settings):
        yield error(
            "settings_readable",
            f"everybody may read the password in storage.connection_string of {file}",
            f"put it into a file of its own (storage.password_file), or run: chmod 640 {name}",
        )
    if not machine.may(file, os.R_OK):
        yield error(
            "settings_unreadable",
            f"the user {machine.user.name} may not read {file}",
            f"run: chgrp {machine.user.group} {name} && chmod 640 {name}",
        )


def _holds_password(settings: Settings) -> bool:
    server = settings.storage.server
    return server is not None and bool(server.password)


def check_folders(what: Installation) -> Iterator[Finding]:
    """Whether the agent can make its files."""
    machine, seen = what.machine, set[Path]()
    for key, file in places(what.settings).items():
        folder = file.parent
        if folder in seen:
            continue
        seen.add(folder)
        quoted = shlex.quote(str(folder))
        own = f"install -d -o {machine.user.name} -g {machine.user.group} -m 0700 {quoted}"
        there = existing(folder)
        if not there.is_dir():
            yield error(
                "folder_is_file", f"{key}: {there} is not a folder", "move it away, or set the key"
            )
        elif there != folder:
            if not machine.may(there, os.W_OK, os.X_OK):
                yield error(
                    "folder_missing",
                    f"{key}: {folder} does not exist, and {machine.user.name} cannot make it",
                    f"run: {own}",
                )
        else:
            yield from _check_folder(key, folder, machine, own)


def _check_folder(key: str, folder: Path, machine: Machine, own: str) -> Iterator[Finding]:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield error(
            "folder_writable_by_all",
            f"{key}: everybody may replace the files in {folder} (mode {mode:04o})",
            f"run: chmod 700 {shlex.quote(str(folder))}",
        )
    mount = machine.mount_of(folder)
    if mount is not None and "ro" in mount.options:
        yield error(
            "disk_read_only",
            f"{key}: {folder} is on a file system that is mounted read-only ({mount.place})",
            f"see why in the kernel's log, then run: mount -o remount,rw {mount.place}",
        )
    elif not machine.may(folder, os.W_OK, os.X_OK):
        yield error(
            "folder_not_writable",
            f"{key}: {machine.user.name} may not write in {folder}",
            f"run: {own}",
        )


def check_owners(what: Installation) -> Iterator[Finding]:
    """Files that are there belong to the agent's user, and nobody else reads or writes them."""
    settings, machine = what.settings, what.machine
    user = machine.user
    for key, file in places(settings).items():
        for path in (file, *(file.with_name(f"{file.name}{end}") for end in ("-wal", "-shm"))):
            try:
                found = path.lstat()
            except OSError:
                continue
            quoted, mode = shlex.quote(str(path)), stat.S_IMODE(found.st_mode)
            if not stat.S_ISREG(found.st_mode):
                yield error(
                    "file_not_plain",
                    f"{key}: {path} is not a plain file",
                    f"set {key} to the file itself, not to a link",
                )
            elif found.st_uid != user.uid:
                yield error(
                    "wrong_owner",
                    f"{key}: {path} belongs to user {found.st_uid}, and the agent is {user.name}",
                    f"find out who changed it, then run: chown {user.name} {quoted}",
                )
            elif mode & _GROUP_AND_OTHERS and file.suffix != ".json":
                yield error(
                    "file_not_private",
                    f"{key}: others may read or write {path} (mode {mode:04o})",
                    f"find out who changed it, then run: chmod 600 {quoted}",
                )


def check_disks(what: Installation) -> Iterator[Finding]:
    """Whether there is room, and whether what is written stays."""
    settings, machine = what.settings, what.machine
    monitoring = settings.monitoring
    threshold = DiskThreshold(monitoring.disk_low_free, monitoring.disk_low_percent)
    seen = set[int]()
    for key, file in places(settings).items():
        there = existing(file)
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = machine.usage(there)
        if usage.free < _FULL:
            yield error(
                "disk_full",
                f"{key}: the disk of {file} is full ({usage.free >> 20} MiB are free)",
                "free some space: the agent refuses what it cannot store",
            )
        elif threshold.is_low(usage, was_low=False):
            yield warning(
                "disk_low",
                f"{key}: {usage.free >> 20} MiB are free on the disk of {file}",
                "free some space, or move the file to a larger disk",
            )
        mount = machine.mount_of(file)
        if mount is None:
            continue
        if mount.kind in _IN_MEMORY:
            yield error(
                "disk_in_memory",
                f"{key}: {file} is in memory ({mount.kind} at {mount.place}) and ends with it",
                "set the key to a place on a disk",
            )
        elif mount.options & _WITHOUT_BARRIER:
            yield error(
                "disk_without_barrier",
                f"{key}: {mount.place} is mounted so that fsync does not reach the disk",
                "mount it without nobarrier, barrier=0 and sync=disabled",
            )


def check_database_disk(what: Installation) -> Iterator[Finding]:
    """A database's locks and fsync are worth what its file system is."""
    file = what.settings.storage.file
    mount = None if file is None else what.machine.mount_of(file)
    if mount is not None and mount.kind in _OF_NETWORK:
        yield error(
            "disk_of_network",
            f"storage.connection_string: {file} is on a network file system ({mount.kind}), whose "
            "locks and fsync a database cannot rely on",
            "set it to a place on a disk of this machine, or take a database server",
        )


def check_copies(what: Installation) -> Iterator[Finding]:
    """What is to survive together should not be lost, stolen or restored together."""
    settings = what.settings
    key = settings.encryption.key_file
    if key is not None and key.parent == settings.data_folder:
        yield warning(
            "key_beside_data",
            f"the root key {key} is in the folder of the data: whoever copies that has both",
            "move it to a folder, better a volume, of its own, and set encryption.key_file",
        )
    database = settings.storage.file
    if database is not None and settings.anchor_file.parent == database.parent:
        yield warning(
            "anchor_beside_data",
            f"the anchor {settings.anchor_file} is in the folder of the database: restoring that "
            "sets both back, and nobody notices",
            "set anchor.file to a folder, better a volume, of its own",
        )


def check_secret_files(what: Installation) -> Iterator[Finding]:
    """Files with passwords and tokens: there, readable by the agent, and by nobody else."""
    machine = what.machine
    for key, file in _secret_files(what.settings):
        quoted = shlex.quote(str(file))
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError as failure:
            yield error(
                "secret_file_missing",
                f"{key}: {file} cannot be read: {failure.strerror}",
                "put the secret there, or take the key out of the configuration",
            )
            continue
        if not machine.may(file, os.R_OK):
            yield error(
                "secret_file_unreadable",
                f"{key}: {machine.user.name} may not read {file}",
                f"run: chown {machine.user.name} {quoted}",
            )
        elif mode & _OTHERS:
            yield error(
                "secret_file_not_private",
                f"{key}: everybody may read {file} (mode {mode:04o})",
                f"run: chmod 600 {quoted}, and change the secret",
            )


def _secret_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    telemetry = settings.monitoring.telemetry
    redis = settings.cache.redis
    named = {
        "storage.password_file": settings.storage.password_file,
        "monitoring.telemetry.remote_write.token_file": telemetry.remote_write.token_file,
        "monitoring.telemetry.otlp.token_file": telemetry.otlp.token_file,
        "cache.redis.password_file": None if redis is None else redis.password_file,
    }
    encryption = settings.encryption
    providers = [("encryption", encryption.hsm, encryption.cloud_kms)]
    for each in encryption.providers:
        key = f"encryption.providers.{each.name}"
        providers.append((key, each.hsm, each.cloud_kms))
        if each.key_file is not None and each.key_file.exists():  # the agent makes it
            named[f"{key}.key_file"] = each.key_file
    for key, hsm, cloud in providers:
        if hsm is not None:
            named[f"{key}.hsm.pin_file"] = hsm.pin_file
        if cloud is not None:
            named |= {
                f"{key}.cloud_kms.{kind}.{name}": getattr(getattr(cloud, kind), name, None)
                for kind in ("aws", "gcp", "transit")
                for name in ("credentials_file", "token_file")
            }
    for place in settings.backup.destinations:
        for name in ("credentials_file", "key_file"):
            named[f"backup.destinations.{place.name}.{name}"] = getattr(place, name, None)
    for key, file in named.items():
        if file is not None:
            yield key, file
