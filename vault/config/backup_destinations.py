"""Where backups are kept: a folder, a bucket of a cloud, or a server that speaks SFTP."""

import ipaddress
import re
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from protocols.instant import SECOND
from protocols.settings.field_types import Duration, FilePath, Section

NAME: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
BUCKET: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{1,221}$"
"""What S3, Google and Azure allow, and no character that a URL gives a meaning."""
HOST: Final = r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$"
USER: Final = r"^[A-Za-z0-9._-]{1,64}$"
MAX_PORT: Final = 65_535
MAX_LOCK: Final = 10 * 365 * 86_400 * SECOND
"""Nobody can take an object lock back: ten years are taken for a mistake."""
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def _check_endpoint(endpoint: str) -> str:
    if not endpoint:
        return endpoint
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    extra = (
        parts.username is not None or parts.password is not None or parts.query or parts.fragment
    )
    if parts.scheme not in {"https", "http"} or not host or extra:
        raise ValueError("is not of the form https://HOST[:PORT]")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("http:// is for loopback only: use https://")
    return endpoint.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_prefix(prefix: str) -> str:
    prefix = prefix.strip("/")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError("is not a folder such as backups/agent-1")
    return prefix


Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
Prefix = Annotated[str, AfterValidator(_check_prefix)]
Bucket = Annotated[str, Field(pattern=BUCKET)]


class _Destination(Section):
    """`name`: what API, command line and pages call it; its type unless told otherwise."""

    name: Annotated[str, Field(pattern=NAME)] = ""

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("type"), str):
            return {"name": data["type"], **data}
        return data


class LocalDestination(_Destination):
    """A folder on this machine, or on a share that is mounted there."""

    type: Literal["local"] = "local"
    path: FilePath


class S3Destination(_Destination):
    """A bucket of Amazon S3, or of what speaks its API (`endpoint`).

    Credentials are those of the environment or the machine unless there is a `credentials_file`,
    which is like `~/.aws/credentials`. `object_lock`: for so long nobody at all can delete a backup
    (mode `COMPLIANCE`); the bucket must have object lock.
    """

    type: Literal["s3"] = "s3"
    bucket: Bucket
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,64}$")] = ""
    prefix: Prefix = ""
    endpoint: Endpoint = ""
    ca_file: FilePath | None = None
    credentials_file: FilePath | None = None
    object_lock: Annotated[Duration, Field(le=MAX_LOCK)] | None = None


class GcsDestination(_Destination):
    """A bucket of Google Cloud Storage. `credentials_file`: a service account's JSON."""

    type: Literal["gcs"] = "gcs"
    bucket: Bucket
    prefix: Prefix = ""
    endpoint: Endpoint = ""
    ca_file: FilePath | None = None
    credentials_file: FilePath | None = None


class AzureDestination(_Destination):
    """A container of Azure Blob Storage.

    `credentials_file`: the account's access key, or a shared access signature.
    """

    type: Literal["azure"] = "azure"
    account: Annotated[str, Field(pattern=r"^[a-z0-9]{3,24}$")]
    container: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,62}$")]
    prefix: Prefix = ""
    endpoint: Endpoint = ""
    ca_file: FilePath | None = None
    credentials_file: FilePath | None = None


class SftpDestination(_Destination):
    """A folder on a server that speaks SFTP. Its host key must be in `known_hosts_file`."""

    type: Literal["sftp"] = "sftp"
    host: Annotated[str, Field(pattern=HOST)]
    port: int = Field(default=22, ge=1, le=MAX_PORT)
    user: Annotated[str, Field(pattern=USER)]
    path: Annotated[str, Field(pattern=r"^/")]
    key_file: FilePath
    known_hosts_file: FilePath


BackupDestination: TypeAlias = Annotated[
    LocalDestination | S3Destination | GcsDestination | AzureDestination | SftpDestination,
    Field(discriminator="type"),
]
