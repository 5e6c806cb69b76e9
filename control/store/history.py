"""State changes, written in the transaction that changes the state.

A change without a new value is not stored. Only reports read the history: present states are in the
tables of their subjects. An agent that alternates between states fills no disk: beyond
`MAX_PER_HOUR` its newest change is overwritten, unless a legal hold covers it.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

import sqlalchemy as sa
from msgspec.structs import replace

from control.model.history import AGENT_ASPECTS, Aspect, StateChange
from control.store.legal_holds import is_held
from control.store.rows import (
    Tx,
    delete_statement,
    fetch_all,
    fetch_one,
    insert_row,
    is_one_of,
    to_struct,
)
from control.store.tables import history
from protocols.instant import HOUR

MAX_PER_HOUR: Final = {Aspect.POLICY: 64, Aspect.KEY: 8}
"""Turns of a subject, of what agents say and are given. A bundle that is brought and applied makes
two, a key that becomes due and is changed makes two."""
SUBJECTS_PER_STATEMENT: Final = 500  # subjects of one question

_h = history.c
_later = history.alias("later")
_earlier = history.alias("earlier")
ends_at: Final = (
    sa.select(sa.func.min(_later.c.at))
    .where(
        _later.c.org == _h.org,
        _later.c.aspect == _h.aspect,
        _later.c.subject == _h.subject,
        _later.c.at > _h.at,
    )
    .correlate(history)
    .scalar_subquery()
)
"""When the next turn of the same subject came; null for the one that still holds."""
_VAULT: Final = sa.case((_h.aspect.in_(sorted(AGENT_ASPECTS)), _h.subject), else_="")
IS_HELD: Final = is_held(_h.org, _h.at, _VAULT, end=ends_at)
"""Whether a hold covers some of the time for which a turn holds."""


def _newest_up_to(instant: sa.ColumnElement[int] | None) -> sa.ColumnElement[bool]:
    """Whether it is its subject's newest, of those up to the instant."""
    e = _earlier.c
    mine = [e.org == _h.org, e.aspect == _h.aspect, e.subject == _h.subject]
    if instant is not None:
        mine.append(e.at <= instant)
    newest = sa.select(sa.func.max(e.at)).where(*mine).correlate(history)
    return _h.at == newest.scalar_subquery()


_recent: Final = history.alias("recent")
_COUNT: Final = (
    sa.select(sa.func.count())
    .select_from(_recent)
    .where(
        _recent.c.org == _h.org,
        _recent.c.aspect == _h.aspect,
        _recent.c.subject == _h.subject,
        _recent.c.at > sa.bindparam("recently", type_=sa.BigInteger()),
    )
    .correlate(history)
    .scalar_subquery()
)
_ASPECT: Final = sa.and_(_h.org == sa.bindparam("org"), _h.aspect == sa.bindparam("aspect"))
_LAST: Final = sa.select(history, _COUNT.label("count"), IS_HELD.label("held")).where(
    _ASPECT, is_one_of(_h.subject, "subjects"), _newest_up_to(None)
)
_NEWEST: Final = (
    sa.select(history)
    .where(_ASPECT, _h.subject == sa.bindparam("subject"))
    .order_by(_h.at.desc())
    .limit(1)
)
_FORGET: Final = delete_statement(history)
_SINCE: Final[sa.BindParameter[int]] = sa.bindparam("since", type_=sa.BigInteger())
_BETWEEN: Final = (
    sa.select(history)
    .where(_ASPECT, _h.at < sa.bindparam("until", type_=sa.BigInteger()))
    .where(sa.or_(_h.at > _SINCE, _newest_up_to(_SINCE)))
    .order_by(_h.subject, _h.at)
)
_SUBJECTS: Final = sa.select(_h.subject).where(_ASPECT).distinct()


def record_changes(tx: Tx, turns: Iterable[StateChange]) -> None:
    """Store changes behind the newest of their subjects, unless the value is the same.

    `before` is found here, except for one that is `UNKNOWN`. At most one change a subject and
    aspect.
    """
    for (org, aspect), some in groupby(sorted(turns, key=_subject_key), key=_subject_key):
        rows = list(some)
        for start in range(0, len(rows), SUBJECTS_PER_STATEMENT):
            _record_aspect(tx, org, aspect, rows[start : start + SUBJECTS_PER_STATEMENT])


def _subject_key(turn: StateChange) -> tuple[str, str]:
    return turn.org, str(turn.aspect)


def _record_aspect(tx: Tx, org: str, aspect: str, turns: Sequence[StateChange]) -> None:
    subjects = [turn.subject for turn in turns]
    since = min(turn.at for turn in turns) - HOUR
    given = {"org": org, "aspect": aspect, "subjects": subjects, "recently": since}
    last = {row["subject"]: row for row in tx.execute(_LAST, given).mappings()}
    most = MAX_PER_HOUR.get(Aspect(aspect))
    placed, over = [], []
    for turn in turns:
        found = last.get(turn.subject)
        if found is None:
            placed.append(turn)
            continue
        before = to_struct(StateChange, found)
        if (before.value, before.detail) == (turn.value, turn.detail):
            continue
        full = most is not None and found["count"] >= most and not found["held"]
        if full:
            over.append(before)
        # A clock that was set back must not put it before what it follows.
        at = max(turn.at, before.at + 1)
        placed.append(replace(turn, at=at, before=before.before if full else before.at))
    _delete_oldest(tx, over)
    insert_row(tx, history, *placed)


def _delete_oldest(tx: Tx, turns: Sequence[StateChange]) -> None:
    values = [
        {"of_org": t.org, "of_aspect": str(t.aspect), "of_subject": t.subject, "of_at": t.at}
        for t in turns
    ]
    if values:
        tx.execute(_FORGET, values)


def newest_change(tx: Tx, org: str, aspect: Aspect, subject: str) -> StateChange | None:
    """How it stands with the subject; None if that was never put on record."""
    return fetch_one(tx, StateChange, _NEWEST, org=org, aspect=str(aspect), subject=subject)


def changes_between(
    tx: Tx, org: str, aspect: Aspect, since: int, until: int
) -> dict[str, list[StateChange]]:
    """Subject → its turns in order: that which held at `since`, and those up to `until`."""
    found: dict[str, list[StateChange]] = {}
    for turn in fetch_all(
        tx, StateChange, _BETWEEN, org=org, aspect=str(aspect), since=since, until=until
    ):
        found.setdefault(turn.subject, []).append(turn)
    return found


def unrecorded_changes(tx: Tx, turns: Sequence[StateChange]) -> list[StateChange]:
    """Those of whose subject there is no turn yet."""
    known: dict[tuple[str, str], set[str]] = {}
    for org, aspect in {_subject_key(turn) for turn in turns}:
        found = tx.execute(_SUBJECTS, {"org": org, "aspect": aspect}).scalars()
        known[org, aspect] = set(found)
    return [turn for turn in turns if turn.subject not in known[_subject_key(turn)]]


def is_superseded(org: sa.ColumnElement[bool], before: int) -> sa.ColumnElement[bool]:
    """Whether it is of `org`, and held for no instant from `before` on. What still holds stays."""
    gone = sa.and_(ends_at.is_(None), _h.value == "", _h.at < before)
    return sa.and_(org, sa.or_(ends_at <= before, gone))


def delete_older_changes(tx: Tx, before: int, most: int) -> int:
    """Remove those of any organization that held for no instant from then on; how many."""
    key = tuple(history.primary_key)
    old = is_superseded(sa.true(), before)
    some = sa.select(*key).where(old, sa.not_(IS_HELD)).limit(most).correlate(None)
    return tx.execute(history.delete().where(sa.tuple_(*key).in_(some))).rowcount
