"""What two answers may differ in: instants, identifiers, names of the server. All else is compared.

A volatile value is replaced by what kind of value it is, so that an absent or empty one still
shows.
"""

import json
import re
from typing import Any

INSTANTS = {
    "created_time", "updated_time", "deletion_time", "expire_time", "issue_time", "last_renewal",
    "install_time", "creation_time", "last_renewal_time", "server_time_utc",
}  # fmt: skip
NAMES = {
    "request_id", "accessor", "client_token", "id", "uuid", "cluster_name", "cluster_id", "nonce",
    "storage_type", "running_plugin_version", "root_token", "unseal_keys_b64", "unseal_keys_hex",
    "keys_base64",
}  # fmt: skip
COUNTS = {"encryptions"}  # of all that was done to the server before, be it nothing
ABSENT = {
    "commit_date", "cubbyhole/", "identity/", "current_metadata_version",  # Freehold has none
    "secret/",  # what a dev agent mounts is described in other words
}  # fmt: skip
SECONDS = {"ttl", "lease_duration"}  # count down while the test runs
SLOW = 600  # the stories use multiples of this; a machine may take half of it for a few steps

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d{4} UTC|Z)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOKEN = re.compile(r"\bs\.[A-Za-z0-9]{20,}")
_NOT_OURS = re.compile(r"^Commit Date .*\n", re.MULTILINE)
_OWN_LINE = re.compile(
    r"^(Storage Type|Cluster Name|Cluster ID|Unseal Nonce|token_accessor"
    r"|current_metadata_version) .*$",
    re.MULTILINE,
)
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


def normal(value: Any, key: str = "") -> Any:
    """Plain data with its volatile parts replaced."""
    if isinstance(value, dict):
        return {name: normal(item, name) for name, item in value.items() if name not in ABSENT}
    if key in SECONDS and isinstance(value, int) and value > 0:
        return f"about {round(value / SLOW) * SLOW} seconds"
    if key in COUNTS and isinstance(value, int):
        return f"<{key}>"
    if isinstance(value, list):
        return [normal(item, key) for item in value]
    if key in INSTANTS | NAMES and value not in {"", None, 0}:
        return f"<{key}>"
    return value


def normal_text(text: str) -> str:
    """Text for people with its volatile parts replaced, and runs of spaces and dashes made one."""
    text = _OWN_LINE.sub(r"\1 <own>", _NOT_OURS.sub("", text))
    for pattern, name in (
        (_INSTANT, "<instant>"),
        (_UUID, "<uuid>"),
        (_TOKEN, "<token>"),
        (_ADDRESS, "<address>"),
    ):
        text = pattern.sub(name, text)
    return re.sub(r"[ ]+", " ", re.sub(r"-{2,}", "--", re.sub(r"={2,}", "==", text))).strip()


def normal_output(text: str) -> Any:
    """The output of a command: compared as JSON where it is JSON."""
    try:
        return normal(json.loads(text))
    except ValueError:
        return normal_text(text)
