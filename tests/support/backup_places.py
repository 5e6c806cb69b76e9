"""Destinations of backups that are empty, on servers of loopback."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import obstore
from obstore.store import AzureStore, GCSStore, S3Store

from actors import World
from actors.testing import FakeWorld
from actors.world import SystemWorld
from tests.support import backup_servers
from vault.backup.destinations.factory import open_destination
from vault.backup.destinations.interface import Destination
from vault.config.backup import BackupSettings

BUCKETS: Final = ("s3", "gcs", "azure")
KINDS: Final = ("local", *BUCKETS, "sftp")
PART: Final = 64 * 1024

_numbers = count(1)


class Place:
    """An empty destination on one server."""

    def __init__(self, kind: str, server: dict[str, Any], folder: Path) -> None:
        self.kind = kind
        self.server = server
        self.world = FakeWorld(SystemWorld().wall())  # a server dates files by its own clock
        self.slept: list[float] = []
        prefix = f"test-{next(_numbers)}/agent"
        self.prefix = prefix
        if kind == "local":
            self.config = {"type": "local", "path": folder / prefix}
        elif kind == "sftp":
            self.config = {**server, "path": f"{server['path']}/{prefix}"}
        else:
            self.config = {**server, "prefix": prefix}

    def open(self, *, world: World | None = None, **changes: Any) -> Destination:
        """As its configuration says, but for `changes`; parts are small, and nothing sleeps."""
        more: dict[str, Any] = {"part_size": PART}
        for name in ("part_size", "timeout", "sleep"):
            if name in changes:
                more[name] = changes.pop(name)
        if "timeout" in more:
            more["timeout"] = timedelta(seconds=more["timeout"])
        known = {name: value for name, value in (self.config | changes).items()
                 if name not in {"admin", "stranger", "other_hosts", "host_key"}}  # fmt: skip
        (config,) = BackupSettings.model_validate({"destinations": [known]}).destinations
        return open_destination(config, world or self.world, **{"sleep": self._sleep} | more)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.world.advance(seconds)

    def folder(self) -> Path:
        """Of a destination that has one."""
        return Path(self.config["path"])

    def store(self, bucket: str = backup_servers.BUCKET) -> Any:
        """The bucket, to look at and to put things into behind the destination's back."""
        options: dict[str, Any] = {"client_options": {"allow_http": True}, "prefix": self.prefix}
        file, endpoint = self.server["credentials_file"], self.server["endpoint"]
        if self.kind == "gcs":
            key = file.read_text()
            return GCSStore(bucket, base_url=endpoint, service_account_key=key, **options)
        if self.kind == "azure":
            options |= {"account_name": backup_servers.AZURE_ACCOUNT, "endpoint": endpoint}
            return AzureStore(bucket, account_key=backup_servers.AZURE_KEY, **options)
        keys = dict(line.split(" = ") for line in file.read_text().splitlines()[1:])
        options |= {name.removeprefix("aws_"): value for name, value in keys.items()}
        return S3Store(bucket, endpoint=endpoint, region="us-east-1", **options)

    def everything(self) -> list[str]:
        """All that is there, parts and drafts as well."""
        if self.kind in {"local", "sftp"}:
            folder = self.folder()
            return sorted(f"{each.relative_to(folder)}" for each in folder.rglob("*"))
        return sorted(each["path"] for page in obstore.list(self.store()) for each in page)

    def put(self, name: str, data: bytes) -> None:
        """An object, behind the destination's back."""
        if self.kind in {"local", "sftp"}:
            path = self.folder() / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        else:
            obstore.put(self.store(), name, data)


MakePlace: TypeAlias = Callable[[str], Place]
