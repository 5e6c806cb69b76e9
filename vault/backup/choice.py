"""Which backup is meant: by its id, the latest, or the state at a point in time."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from protocols.instant import parse_rfc3339, rfc3339
from vault.backup.format import Manifest
from vault.errors import ConflictError, NotFoundError, ValidationError

LATEST: Final = "latest"
"""In the place of an id. No backup that the agent makes has it for one."""


class ChosenBackup(NamedTuple):
    """A backup of a folder, and the next later one of the same vault, if there is one."""

    manifest: Manifest
    following: Manifest | None


def choose_backup(
    manifests: Iterable[Manifest], wanted: str, *, vault: str = "", at: int = 0
) -> ChosenBackup:
    """The backup of this id, or the newest one if `wanted` is `latest`.

    With `at` (Unix ns) it is the newest one that was made at that time or before. The manifests
    are unverified, in any order; `vault`: only those of this vault.

    Raises `NotFoundError` (`backup_missing`), `ConflictError` (`backup_ambiguous`) where the
    manifests are of several vaults, `ValidationError` for a time with an id.
    """
    found = sorted(
        (each for each in manifests if vault in {"", each.vault}),
        key=lambda each: (_created(each), each.commits, each.id),
    )
    if wanted != LATEST:
        if at:
            raise ValidationError(
                "backup_id_invalid", f"a time takes {LATEST} in the place of an id", field="id"
            )
        candidates = [each for each in found if each.id == wanted]
        if not candidates:
            raise NotFoundError("backup_missing", f"there is no backup {wanted}")
    else:
        vaults = {each.vault for each in found}
        if len(vaults) > 1:
            raise ConflictError(
                "backup_ambiguous",
                f"there are backups of {len(vaults)} vaults: say which one by --vault "
                f"({', '.join(sorted(vaults))})",
            )
        candidates = [each for each in found if not at or _created(each) <= at]
        if not candidates:
            until = f" of {rfc3339(at)} or before" if at else ""
            raise NotFoundError("backup_missing", f"there is no backup{until}")
    chosen = candidates[-1]
    later = [
        each
        for each in found
        if each.vault == chosen.vault and each.commits > chosen.commits and each is not chosen
    ]
    return ChosenBackup(chosen, later[0] if later else None)


def require_not_later(time: int, at: int) -> None:
    """Raise `ConflictError` if the last commit of a backup, at `time`, came after `at`.

    A backup has the commits that were made while it began.
    """
    if at and time > at:
        raise ConflictError(
            "backup_later",
            f"the last change in this backup is of {rfc3339(time)}, later than asked for: give an "
            "earlier time",
        )


def _created(manifest: Manifest) -> int:
    return parse_rfc3339(manifest.created, "created")
