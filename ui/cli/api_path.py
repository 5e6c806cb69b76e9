"""URL paths from what a person typed."""

from typing import Final
from urllib.parse import quote

API_PREFIX: Final = "/api/v1/"


def api_path(resource: str, *names: str) -> str:
    """The native API's path of a resource, or of one named thing in it.

    Names are escaped and their slashes kept: a secret's name is several segments.
    """
    return API_PREFIX + "/".join((resource, *(quote(name, safe="/") for name in names)))
