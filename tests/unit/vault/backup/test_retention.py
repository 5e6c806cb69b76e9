"""vault.backup.retention: whatever the backups are, nothing that is needed is removed."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from vault.backup.retention import KeptBackup, removable

NOW: Final = 10_000


@st.composite
def _histories(draw: st.DrawFn) -> list[KeptBackup]:
    """Each builds on an earlier one, or on none; clocks may have jumped between them."""
    made = list[KeptBackup]()
    for number in range(draw(st.integers(0, 20))):
        base = draw(st.sampled_from(["", *(each.id for each in made)]))
        commits = draw(st.integers(0, 30))
        made.append(KeptBackup(f"b{number}", base, commits, draw(st.integers(0, 2 * NOW))))
    return made


def _below(backup: KeptBackup, by_id: dict[str, KeptBackup]) -> list[str]:
    found = [backup.id]
    while backup.base:
        backup = by_id[backup.base]
        found.append(backup.id)
    return found


def _newest(made: list[KeptBackup], count: int) -> list[KeptBackup]:
    """By commits, and by time, which differ where a restore has given up commits."""
    commits = sorted(made, key=lambda each: (each.commits, each.created, each.id))
    past = [each for each in made if each.created <= NOW]
    times = sorted(past, key=lambda each: (each.created, each.commits, each.id))
    return [*commits[-count:], *times[-count:]]


@given(_histories(), st.integers(1, 10), st.integers(1, NOW), st.data())
def test_what_is_kept_can_be_restored(
    made: list[KeptBackup], count: int, age: int, data: st.DataObject
) -> None:
    """The newest and the young stay with their chains; each is removed before its base."""
    held = data.draw(st.sets(st.sampled_from([each.id for each in made]))) if made else set()
    gone = [each.id for each in removable(made, count=count, age=age, now=NOW, held=held)]
    by_id = {each.id: each for each in made}
    kept = [each for each in made if each.id not in gone]
    for each in kept:
        assert not set(_below(each, by_id)) & set(gone)
    assert {each.id for each in _newest(made, count)} <= {each.id for each in kept}
    assert not [each for each in made if NOW - each.created < age and each.id in gone]
    assert not held & set(gone)
    for position, backup in enumerate(gone):
        assert by_id[backup].base not in gone[:position]


@given(_histories(), st.integers(1, 10), st.integers(1, NOW))
def test_what_nothing_keeps_goes(made: list[KeptBackup], count: int, age: int) -> None:
    """Retention bounds what a destination holds."""
    gone = {each.id for each in removable(made, count=count, age=age, now=NOW)}
    by_id = {each.id: each for each in made}
    reasons = [*_newest(made, count), *(each for each in made if NOW - each.created < age)]
    needed = {one for each in reasons for one in _below(each, by_id)}
    assert gone == set(by_id) - needed
