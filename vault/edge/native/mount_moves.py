"""`/api/v1/system/mount-moves`: secret engines move with their secrets."""

from typing import Annotated

from msgspec import Meta, Struct

from protocols.instant import rfc3339
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_path
from vault.edge.request import Request
from vault.model.path import MAX_BYTES
from vault.model.payloads import MoveMount, Nothing
from vault.model.records import MountMoveRow

mount_moves = Endpoints("mounts", "Where mounts are moved to, with all that is in them.")

Place = Annotated[str, Meta(min_length=1, max_length=MAX_BYTES)]


class MountMove(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a mount is, and where it is to be."""

    source: Place
    target: Place


class MountMoveBody(Struct, frozen=True, kw_only=True):
    """A mount that was moved, with how many secrets. An auth mount has `auth/` before its paths."""

    id: str
    mount_id: str
    source: str
    target: str
    secrets: int
    moved_at: str
    moved_by: str

    @classmethod
    def of(cls, row: MountMoveRow) -> "MountMoveBody":
        """From the row."""
        return cls(
            id=row.id,
            mount_id=row.mount_id,
            source=row.source,
            target=row.target,
            secrets=row.secrets,
            moved_at=rfc3339(row.moved_at),
            moved_by=row.moved_by,
        )


class MountMoveList(Struct, frozen=True):
    """Moves of mounts, the latest first."""

    moves: list[MountMoveBody]


@mount_moves.add(
    "POST",
    "system/mount-moves",
    "Move a mount with its secrets",
    body=MountMove,
    returns=MountMoveBody,
    errors=(404, 409),
)
async def move(dialect: Dialect, request: Request, *, body: MountMove) -> MountMoveBody:
    row = await dialect.run_operation(
        request,
        operations.MOVE_MOUNT,
        system_path("mounts", body.source.strip("/")),
        MoveMount(to=body.target.strip("/")),
    )
    return MountMoveBody.of(row)


@mount_moves.add(
    "GET", "system/mount-moves", "List what was moved where, of both kinds", returns=MountMoveList
)
async def list_(dialect: Dialect, request: Request) -> MountMoveList:
    found = await dialect.run_operation(
        request, operations.LIST_MOUNT_MOVES, system_path("remount/status"), Nothing()
    )
    return MountMoveList(moves=[MountMoveBody.of(row) for row in found])
