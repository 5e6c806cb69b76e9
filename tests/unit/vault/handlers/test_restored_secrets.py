"""How a restore into the vault takes refusals: end it, wait, or tell it of one secret."""

from typing import Any, cast

import pytest

from actors.testing import FakeWorld
from vault import operations
from vault.authz.authorizer import Authorizer
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    RateLimitError,
    UnavailableError,
    VaultError,
)
from vault.handlers.handler import Call
from vault.handlers.restored_secrets import MAX_WAITS, CallerRestore, SecretRestorer
from vault.handlers.stores import SecretStore
from vault.model.backup_runs import RestoreAction, RestoreSecrets
from vault.model.identity import Identity, Method
from vault.model.mounts import MountTable
from vault.model.operation import Operation, Origin
from vault.model.path import ResourcePath
from vault.model.records import MountRow, RecordStatus, SecretRow, VersionRow
from vault.model.results import SecretWritten

HEAD = SecretRow(
    name="secret/a", id="old", current_version=3, status=RecordStatus.ACTIVE, created_at=1,
    updated_at=1, created_by="ann",
)  # fmt: skip


class NoSecrets:
    """A vault in which nothing is."""

    async def get(self, _path: str) -> SecretRow | None:
        """Nothing."""
        return None


class QuietWorld(FakeWorld):
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = 0.0

    async def sleep(self, seconds: float) -> None:
        """At once."""
        self.slept += seconds


class Writes:
    """A pipeline that answers as it is told, and remembers what it was asked."""

    def __init__(self, *answers: VaultError | None) -> None:
        self.answers = list(answers)
        self.asked: list[Operation[Any, Any]] = []

    async def __call__(self, op: Operation[Any, Any], /) -> Any:
        """The next answer; a version once there is none."""
        self.asked.append(op)
        if self.answers and (error := self.answers.pop(0)) is not None:
            raise error
        version = VersionRow(
            secret_id="new", version=1, wrapped_dek=b"", box=b"", kek_generation=1, created_at=1,
            created_by="ann",
        )  # fmt: skip
        return SecretWritten(secret=HEAD, version=version)


def restore(run: Writes, world: FakeWorld) -> CallerRestore:
    """By somebody who may write."""
    mounts = MountTable()
    mounts.replace([MountRow(path="secret/", id="m", accessor="kv", created_at=1)])
    parts = SecretRestorer(
        cast("Authorizer", None), cast("SecretStore", NoSecrets()), mounts, run, world
    )
    op = Operation(
        type=operations.RESTORE_BACKUP,
        path=ResourcePath.parse("sys/backups/b"),
        payload=RestoreSecrets(names=("secret/a",)),
        request_id="r",
        credential="text",
        origin=Origin(ip="127.0.0.1"),
    )
    return parts.for_caller(Call(op, Identity(id="i", name="ann", method=Method.TOKEN)))


def limited() -> RateLimitError:
    """As the pipeline says it."""
    return RateLimitError("rate_limited", "wait", retry_after=2)


async def test_it_writes_as_the_caller() -> None:
    """With check-and-set, under numbers of the restore's request id."""
    run = Writes()
    writer = restore(run, QuietWorld())
    for _ in range(2):
        done = await writer.put_back(HEAD, b"1", "")
        assert done is not None
        assert (done.action, done.written_version) == (RestoreAction.CREATE, 1)
    assert [op.request_id for op in run.asked] == ["r.1", "r.2"]
    assert {(op.credential, op.payload.cas) for op in run.asked} == {("text", 0)}


async def test_it_waits_for_the_callers_rate_limit() -> None:
    """As long as it says, and not for ever."""
    world, run = QuietWorld(), Writes(limited(), limited())
    done = await restore(run, world).put_back(HEAD, b"1", "")
    assert done is not None
    assert done.written_version == 1
    assert world.slept == 4.0
    with pytest.raises(RateLimitError):
        await restore(Writes(*[limited() for _ in range(MAX_WAITS + 1)]), world).put_back(
            HEAD, b"1", ""
        )


@pytest.mark.parametrize(
    "error",
    [AuthenticationError("unauthenticated", "revoked"), UnavailableError("sealed", "sealed")],
)
async def test_what_the_next_secret_would_meet_ends_it(error: VaultError) -> None:
    """A token that was revoked meanwhile writes no more; so does a vault that is sealed."""
    with pytest.raises(type(error)):
        await restore(Writes(error), QuietWorld()).put_back(HEAD, b"1", "")


async def test_an_error_of_one_secret_is_its_result() -> None:
    """A change meanwhile fails it; a right that was taken meanwhile hides it."""
    writer = restore(Writes(ConflictError("cas_mismatch", "changed")), QuietWorld())
    done = await writer.put_back(HEAD, b"1", "")
    assert done is not None
    assert (done.action, done.error_code) == (RestoreAction.FAILED, "cas_mismatch")
    denied = Writes(AuthorizationError("permission_denied", "no"))
    assert await restore(denied, QuietWorld()).put_back(HEAD, b"1", "") is None
