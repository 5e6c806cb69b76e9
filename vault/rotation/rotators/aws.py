"""`aws`: the access key of an IAM user, which has two at most: the old one and the new one.

The secret half is in the answer to CreateAccessKey and nowhere else, so this is an
`IssuingRotator`. The draft holds the ids of the keys that the user had when the rotation began. A
key that is not among them was made by this rotation and its secret was lost in a crash: it is
deleted, and never any other. A key that has been used is nobody's lost one: then a person decides.

The user's tag `freehold-fence` holds the highest fence, and a lower one makes nothing.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from vault.rotation.rotator import RotationContext, RotationError, RotatorKind, Value
from vault.rotation.rotators.fields import connection_field, value_field

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

KEYS: Final = 2
"""Access keys that an IAM user can have (IAM and STS quotas)."""
FENCE_TAG: Final = "freehold-fence"
_BEFORE: Final = "keys_before"
_NONE: Final = "none"
"""No key has this id. A draft without the field is none, and deletes nothing."""
_AWAY: Final = frozenset({"NoSuchEntity", "NoSuchEntityException"})
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_BAD_KEY: Final = frozenset({"InvalidClientTokenId", "SignatureDoesNotMatch", "AuthFailure"})
_OWN_SETTINGS: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""Without the names of environment variables that botocore reads for them."""
_CALLS: Final = 6
"""A step makes so many calls at most; each has its share of the step's time."""


class AwsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `aws`. The user belongs to the rotator: nobody else makes keys for it."""

    username: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+=,.@_-]{1,64}\Z")]
    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")] = "us-east-1"


class AwsRotator:
    """See `IssuingRotator`.

    The connection has `access_key_id` and `secret_access_key` of an administrator, perhaps
    `session_token`, and `endpoint` for what is not AWS itself. The value has `username`,
    `access_key_id` and `secret_access_key`.
    """

    def __init__(self, config: AwsConfig) -> None:
        self._config = config

    def create(self, context: RotationContext, previous: Value) -> Value:
        """The draft: which keys there are. Changes nothing."""
        found = self._keys(context)
        ours = previous.get("access_key_id", "")
        if len(found) >= KEYS:
            which = "none of them" if ours not in found else "the other one"
            raise RotationError(
                "aws_key_limit",
                f"the IAM user has {KEYS} access keys and Freehold has made {which}: delete the "
                "one that is not used",
                is_final=True,
            )
        return {"username": self._config.username, _BEFORE: ",".join(sorted(found)) or _NONE}

    def issue(self, context: RotationContext, draft: Value, previous: Value) -> Value:
        """Delete what this rotation made and lost, and make the key."""
        with self._iam(context) as iam:
            self._raise_fence(iam, context.fence)
            self._delete_lost(iam, draft)
            made = iam.create_access_key(UserName=self._config.username)["AccessKey"]
        return {
            "username": self._config.username,
            "access_key_id": str(made["AccessKeyId"]),
            "secret_access_key": str(made["SecretAccessKey"]),
        }

    def discard(self, context: RotationContext, draft: Value) -> None:
        """Delete what this rotation made and lost, and make none."""
        with self._iam(context) as iam:
            self._raise_fence(iam, context.fence)
            self._delete_lost(iam, draft)

    def apply(self, context: RotationContext, value: Value) -> None:
        """Switch the key on, if somebody has switched it off."""
        key_id = value_field(value, "access_key_id")
        with self._iam(context) as iam:
            found = self._list(iam)
            if key_id not in found:
                raise RotationError(
                    "aws_key_missing",
                    "the access key is not there any more: start a new rotation",
                    is_final=True,
                )
            if not found[key_id]:
                iam.update_access_key(
                    UserName=self._config.username, AccessKeyId=key_id, Status="Active"
                )

    def verify(self, context: RotationContext, value: Value) -> None:
        """Ask AWS who the key's user is. A new key is known everywhere after some seconds."""
        credentials = {
            "access_key_id": value_field(value, "access_key_id"),
            "secret_access_key": value_field(value, "secret_access_key"),
            "endpoint": context.connection.get("endpoint", ""),
        }
        with self._client("sts", context, credentials) as sts:
            arn = str(sts.get_caller_identity()["Arn"])
        if arn.rpartition("/")[2] != self._config.username:
            raise RotationError(
                "aws_user", "the access key is another user's: correct username", is_final=True
            )

    def retire(self, context: RotationContext, value: Value) -> None:
        """Delete the key."""
        key_id = value_field(value, "access_key_id")
        with self._iam(context) as iam:
            if key_id in self._list(iam):
                iam.delete_access_key(UserName=self._config.username, AccessKeyId=key_id)

    def _keys(self, context: RotationContext) -> dict[str, bool]:
        with self._iam(context) as iam:
            return self._list(iam)

    def _list(self, iam: Any) -> dict[str, bool]:  # botocore's clients have no type
        """The user's keys, and whether each is switched on."""
        found = iam.list_access_keys(UserName=self._config.username)["AccessKeyMetadata"]
        return {str(each["AccessKeyId"]): each["Status"] == "Active" for each in found}

    def _raise_fence(self, iam: Any, fence: int) -> None:  # as above
        tags = iam.list_user_tags(UserName=self._config.username)["Tags"]
        known = next((each["Value"] for each in tags if each["Key"] == FENCE_TAG), "0")
        if known.isdecimal() and int(known) > fence:
            raise RotationError(
                "aws_fence", "another agent has taken over this rotation", is_final=True
            )
        iam.tag_user(UserName=self._config.username, Tags=[{"Key": FENCE_TAG, "Value": str(fence)}])

    def _delete_lost(self, iam: Any, draft: Value) -> None:  # as above
        before = set(filter(None, value_field(draft, _BEFORE).split(",")))
        for key_id in sorted(self._list(iam).keys() - before):
            used = iam.get_access_key_last_used(AccessKeyId=key_id)["AccessKeyLastUsed"]
            if used.get("LastUsedDate") is not None:
                raise RotationError(
                    "aws_foreign_key",
                    "somebody else has made an access key for the IAM user during the rotation, "
                    "and uses it: delete it, or make one for another user instead",
                    is_final=True,
                )
            iam.delete_access_key(UserName=self._config.username, AccessKeyId=key_id)

    def _iam(self, context: RotationContext) -> "Any":
        for name in ("access_key_id", "secret_access_key"):
            connection_field(context.connection, name)
        return self._client("iam", context, context.connection)

    @contextmanager
    def _client(self, service: str, context: RotationContext, credentials: Value) -> Iterator[Any]:
        """A client of these credentials: nothing of the machine's files or environment."""
        try:
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
            from botocore.session import Session
        except ImportError:
            raise RotationError(
                "aws_missing", "install the extra: pip install 'freehold[aws]'", is_final=True
            ) from None
        # At DEBUG botocore writes whole answers, that of CreateAccessKey among them.
        logging.getLogger("botocore").setLevel(logging.INFO)
        endpoint = credentials.get("endpoint", "")
        if endpoint:
            _check_endpoint(endpoint)
        session = Session(_OWN_SETTINGS)
        share = max(context.timeout / _CALLS, 1.0)
        config = Config(
            connect_timeout=share / 2,
            read_timeout=share / 2,
            retries={"total_max_attempts": 1},  # the engine repeats a step, and counts
            proxies={},
            ignore_configured_endpoint_urls=True,
        )
        try:
            client = session.create_client(
                service,
                region_name=self._config.region,
                endpoint_url=endpoint or None,
                aws_access_key_id=credentials["access_key_id"],
                aws_secret_access_key=credentials["secret_access_key"],
                aws_session_token=credentials.get("session_token") or None,
                config=config,
            )
            with closing(client):
                yield client
        except ClientError as error:
            raise _translated(error) from None
        except (BotoCoreError, ValueError):
            raise RotationError(
                "aws_unreachable", "AWS did not answer in time or cannot be reached"
            ) from None


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    is_local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"}
    if parts.scheme != "https" and not is_local:
        raise RotationError(
            "aws_endpoint", "endpoint in the connection must begin with https://", is_final=True
        )


def _translated(error: "ClientError") -> RotationError:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _AWAY:
        return RotationError("aws_user", "there is no such IAM user: create it", is_final=True)
    if code in _DENIED:
        return RotationError(
            "aws_denied",
            "AWS refuses the call: docs/spec/rotators.md lists the actions to allow",
            is_final=True,
        )
    if code in _BAD_KEY:
        return RotationError(
            "aws_login", "AWS does not know the access key, or not yet: it is tried again"
        )
    if code == "LimitExceeded":
        return RotationError("aws_key_limit", f"the IAM user has {KEYS} access keys: delete one")
    return RotationError("aws_refused", "AWS refused the call: see CloudTrail")


KIND: Final = RotatorKind("aws", AwsConfig, AwsRotator, lambda _config: True)
