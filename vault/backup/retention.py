"""Which backups are removed: a pure decision over verified manifests."""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from protocols.instant import DAY

INCOMPLETE_AGE: Final = 7 * DAY
"""For putting back what a backup lacks."""


class KeptBackup(NamedTuple):
    """`base`: the id of the backup that this one builds on; empty for a full one.

    `commits`: of the vault, which order backups whatever the clock said, unless a restore has given
    some up. `created` in Unix nanoseconds.
    """

    id: str
    base: str
    commits: int
    created: int


def removable(
    backups: Collection[KeptBackup],
    *,
    count: int,
    age: int,
    now: int,
    held: Collection[str] = (),
) -> list[KeptBackup]:
    """Those that nothing keeps, each before the one that it builds on.

    The newest `count` are kept, by commits and by time, and those younger than `age` nanoseconds,
    each with all that it builds on. `backups` are verified, each with its chain. The newest is
    among the newest `count`, so its whole chain always stays. `held`: ids that are kept for another
    reason.
    """
    by_id = {each.id: each for each in backups}
    newest = sorted(backups, key=_order, reverse=True)
    past = sorted((each for each in backups if each.created <= now), key=_time, reverse=True)
    kept = {each.id for order in (newest, past) for each in order[: max(count, 1)]}
    needed: set[str] = set()
    for each in newest:
        if each.id in kept or now - each.created < age or each.id in held:
            needed.update(chain_ids(each, by_id))
    gone = [each for each in newest if each.id not in needed]
    depth = {each.id: sum(1 for _ in chain_ids(each, by_id)) for each in gone}
    return sorted(gone, key=lambda each: depth[each.id], reverse=True)


def useless(
    incomplete: Collection[KeptBackup], *, newest: int, age: int, now: int
) -> list[KeptBackup]:
    """Incomplete backups that are removed, each before the one that it builds on.

    What they lack may come back, so those younger than `age`, and than a week, are kept with all
    that they build on, as are those that are not older than `newest`, when the newest complete one
    was made.
    """
    age = max(age, INCOMPLETE_AGE)
    ordered, held, gone = sorted(incomplete, key=_order, reverse=True), set[str](), []
    for each in ordered:
        if each.id in held or now - each.created < age or each.created >= newest:
            held.add(each.base)
        else:
            gone.append(each)
    return gone


def chain_ids(backup: KeptBackup, by_id: dict[str, KeptBackup]) -> Iterable[str]:
    """The id of the backup and of each one below it."""
    seen: set[str] = set()
    below: KeptBackup | None = backup
    while below is not None and below.id not in seen:
        seen.add(below.id)
        yield below.id
        below = by_id.get(below.base)


def _order(backup: KeptBackup) -> tuple[int, int, str]:
    return backup.commits, backup.created, backup.id


def _time(backup: KeptBackup) -> tuple[int, int, str]:
    return backup.created, backup.commits, backup.id
