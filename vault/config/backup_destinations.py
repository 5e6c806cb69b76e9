"""Where backups are kept: a folder, a bucket of a cloud, or a server that speaks SFTP."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from protocols.settings.field_types import Duration, FilePath, Section

NAME: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
MAX_PORT: Final = 65_535


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

    Credentials are those of the environment or the machine unless there is a `credentials_file`.
    `object_lock`: for so long nobody can delete or replace a backup, if the bucket has object lock.
    """

    type: Literal["s3"] = "s3"
    bucket: Annotated[str, Field(min_length=1)]
    region: str = ""
    prefix: str = ""
    endpoint: str = ""
    credentials_file: FilePath | None = None
    object_lock: Duration | None = None


class GcsDestination(_Destination):
    """A bucket of Google Cloud Storage. `credentials_file`: a service account's JSON."""

    type: Literal["gcs"] = "gcs"
    bucket: Annotated[str, Field(min_length=1)]
    prefix: str = ""
    endpoint: str = ""
    credentials_file: FilePath | None = None


class AzureDestination(_Destination):
    """A container of Azure Blob Storage. `credentials_file`: the account's access key."""

    type: Literal["azure"] = "azure"
    account: Annotated[str, Field(min_length=1)]
    container: Annotated[str, Field(min_length=1)]
    prefix: str = ""
    endpoint: str = ""
    credentials_file: FilePath | None = None


class SftpDestination(_Destination):
    """A folder on a server that speaks SFTP. Its host key must be in `known_hosts_file`."""

    type: Literal["sftp"] = "sftp"
    host: Annotated[str, Field(min_length=1)]
    port: int = Field(default=22, ge=1, le=MAX_PORT)
    user: Annotated[str, Field(min_length=1)]
    path: Annotated[str, Field(min_length=1)]
    key_file: FilePath
    known_hosts_file: FilePath


BackupDestination: TypeAlias = Annotated[
    LocalDestination | S3Destination | GcsDestination | AzureDestination | SftpDestination,
    Field(discriminator="type"),
]
