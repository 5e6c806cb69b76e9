"""What is secret about a destination, in files for their owner alone."""

from collections.abc import Callable
from configparser import ConfigParser, Error
from pathlib import Path

from protocols.pki.errors import PkiKeyError
from protocols.pki.files import read_file
from vault.backup.destinations.interface import unavailable


def read_secret(setting: str, file: Path, location: str) -> str:
    """Its text. Raises `UnavailableError` for one that is open to group or world as well."""
    try:
        return read_file(file, secret=True).decode()
    except PkiKeyError as error:
        raise unavailable(location, f"{setting}: {error}") from None
    except ValueError:
        raise unavailable(location, f"{setting}: {file} is not UTF-8") from None


def aws_credentials(file: Path, location: str) -> Callable[[], dict[str, str | None]]:
    """Access keys in the form of `~/.aws/credentials`, profile `default`, read when needed."""

    def read() -> dict[str, str | None]:
        parser = ConfigParser(interpolation=None)
        try:
            parser.read_string(read_secret("credentials_file", file, location))
            profile = parser["default"]
            return {
                "access_key_id": profile["aws_access_key_id"],
                "secret_access_key": profile["aws_secret_access_key"],
                "token": profile.get("aws_session_token"),
                "expires_at": None,
            }
        except (Error, KeyError):
            raise unavailable(
                location,
                f"credentials_file: {file} needs the profile [default] with aws_access_key_id and "
                "aws_secret_access_key",
            ) from None

    return read


def azure_credentials(file: Path, location: str) -> dict[str, str]:
    """An account's access key or a shared access signature, in the first line."""
    secret = read_secret("credentials_file", file, location).partition("\n")[0].strip()
    if not secret:
        raise unavailable(location, f"credentials_file: {file} is empty")
    if "sig=" in secret:
        return {"sas_key": secret.removeprefix("?")}
    return {"account_key": secret}
