"""Opens the destinations of a configuration. A library is imported where its kind is configured."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from actors import World
from vault.backup.destinations.credentials import aws_credentials, azure_credentials, read_secret
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.destinations.interface import Destination, unavailable
from vault.config.backup_destinations import (
    AzureDestination,
    BackupDestination,
    GcsDestination,
    LocalDestination,
    S3Destination,
    SftpDestination,
)

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, S3Store

_LIBRARIES: Final = frozenset({"asyncssh", "obstore"})
_CONNECT_TIMEOUT: Final = timedelta(seconds=10)
_CALL_TIMEOUT: Final = timedelta(seconds=120)
"""For one request: a part of 8 MiB takes it at 70 kB/s."""


def open_destination(
    config: BackupDestination,
    world: World,
    *,
    sleep: Callable[[float], None] | None = None,
    timeout: timedelta = _CALL_TIMEOUT,
    part_size: int | None = None,
) -> Destination:
    """The place; nothing is asked of it yet. Keep it: its breaker is part of it.

    `sleep`, `timeout`, `part_size`: for tests. Raises `UnavailableError` (`backup_unavailable`) if
    its library is not installed.
    """
    options: dict[str, Any] = {"sleep": sleep}
    if part_size is not None:
        options["part_size"] = part_size
    try:
        if isinstance(config, LocalDestination):
            return LocalDirectory(config.path)
        if isinstance(config, SftpDestination):
            return _open_sftp(config, world, timeout, options)
        return _open_bucket(config, world, timeout, options)
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        raise unavailable(
            config.name, f"{error.name} is not installed: pip install 'freehold[backup]'"
        ) from None


def _open_bucket(
    config: S3Destination | GcsDestination | AzureDestination,
    world: World,
    timeout: timedelta,
    options: dict[str, Any],
) -> Destination:
    from vault.backup.destinations.object_store import MakeStore, ObjectStoreDestination

    open_store: MakeStore
    if isinstance(config, S3Destination):
        location = _location("s3", config.bucket, config.prefix)
        open_store = partial(_s3, config, location, timeout)
        options["object_lock"] = config.object_lock
    elif isinstance(config, GcsDestination):
        location = _location("gs", config.bucket, config.prefix)
        open_store = partial(_gcs, config, location, timeout)
    else:
        location = _location("azure", f"{config.account}/{config.container}", config.prefix)
        open_store = partial(_azure, config, location, timeout)
    return ObjectStoreDestination(location, open_store, world, **options)


def _location(scheme: str, bucket: str, prefix: str) -> str:
    return f"{scheme}://{bucket}/{prefix}".rstrip("/")


def _open_sftp(
    config: SftpDestination, world: World, timeout: timedelta, options: dict[str, Any]
) -> Destination:
    from vault.backup.destinations import sftp

    server = sftp.Server(
        config.host, config.port, config.user, config.key_file, config.known_hosts_file
    )
    return sftp.SftpDestination(
        server, config.path, world, timeout=timeout.total_seconds(), **options
    )


def _client(
    config: S3Destination | GcsDestination | AzureDestination,
    location: str,
    timeout: timedelta,
    headers: Mapping[str, str],
) -> "ClientConfig":
    """TLS is always verified; whatever the environment says otherwise is overruled."""
    options: ClientConfig = {
        "allow_http": config.endpoint.startswith("http://"),  # loopback: see the configuration
        "allow_invalid_certificates": False,
        "connect_timeout": min(_CONNECT_TIMEOUT, timeout),
        "timeout": timeout,
        "user_agent": "freehold",
        "default_headers": dict(headers),
    }
    if config.ca_file is not None:
        try:
            options["root_certificate"] = config.ca_file.read_bytes()
        except OSError as error:
            raise unavailable(
                location, f"ca_file {config.ca_file} cannot be read: {error.strerror}"
            ) from None
    return options


def _s3(
    config: S3Destination, location: str, timeout: timedelta, headers: Mapping[str, str]
) -> "S3Store":
    from obstore.store import S3Store

    options: dict[str, Any] = {
        "checksum_algorithm": "SHA256",
        "disable_bulk_delete": True,  # not every server has it
        "skip_signature": False,
    }
    if config.region or config.endpoint:
        options["region"] = config.region or "us-east-1"
    if config.endpoint:
        options["endpoint"] = options["aws_endpoint_url_s3"] = config.endpoint
    if config.credentials_file is not None:
        provider = aws_credentials(config.credentials_file, location)
        provider()  # what it raises the library would hide
        options["credential_provider"] = provider
    return S3Store(
        config.bucket,
        prefix=config.prefix or None,
        client_options=_client(config, location, timeout, headers),
        retry_config={"max_retries": 0},
        **options,
    )


def _gcs(
    config: GcsDestination, location: str, timeout: timedelta, headers: Mapping[str, str]
) -> "GCSStore":
    from obstore.store import GCSStore

    options: dict[str, Any] = {"skip_signature": False}
    if config.endpoint:
        options["base_url"] = config.endpoint
    if config.credentials_file is not None:
        options["service_account_key"] = read_secret(
            "credentials_file", config.credentials_file, location
        )
    return GCSStore(
        config.bucket,
        prefix=config.prefix or None,
        client_options=_client(config, location, timeout, headers),
        retry_config={"max_retries": 0},
        **options,
    )


def _azure(
    config: AzureDestination, location: str, timeout: timedelta, headers: Mapping[str, str]
) -> "AzureStore":
    from obstore.store import AzureStore

    options: dict[str, Any] = {"account_name": config.account, "skip_signature": False}
    if config.endpoint:
        options["endpoint"] = config.endpoint
    if config.credentials_file is not None:
        options |= azure_credentials(config.credentials_file, location)
    return AzureStore(
        config.container,
        prefix=config.prefix or None,
        client_options=_client(config, location, timeout, headers),
        retry_config={"max_retries": 0},
        **options,
    )
