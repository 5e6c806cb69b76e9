"""Channels and their messages."""

from typing import Any, Final

import sqlalchemy as sa

from control.model.notices import Channel, Delivery, State
from control.store.legal_holds import is_held
from control.store.rows import (
    Tx,
    fetch_all,
    fetch_one,
    insert_or_replace,
    insert_row,
    select_by_key,
)
from control.store.tables import channels, deliveries

_CHANNEL: Final = select_by_key(channels)
_DELIVERY: Final = select_by_key(deliveries)
_ranked: Final = (
    sa.select(
        deliveries,
        sa.func.row_number()
        .over(
            partition_by=(deliveries.c.org, deliveries.c.channel),
            order_by=(deliveries.c.created_at, deliveries.c.id),
        )
        .label("place"),
    )
    .where(
        deliveries.c.state == str(State.WAITING),
        deliveries.c.due_at <= sa.bindparam("now", type_=sa.BigInteger()),
        ~sa.exists().where(
            channels.c.org == deliveries.c.org,
            channels.c.id == deliveries.c.channel,
            sa.or_(sa.not_(channels.c.enabled), channels.c.suspended != ""),
        ),
    )
    .subquery()
)
_DUE: Final = (
    sa.select(_ranked)
    .order_by(_ranked.c.place, _ranked.c.created_at, _ranked.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer()))
)
_TALLY: Final = (
    sa.select(deliveries.c.state, sa.func.count())
    .where(deliveries.c.state != str(State.SENT))
    .group_by(deliveries.c.state)
)


def add_channel(tx: Tx, row: Channel) -> None:
    """Add it."""
    insert_row(tx, channels, row)


def put_channel(tx: Tx, row: Channel) -> None:
    """Replace it."""
    insert_or_replace(tx, channels, row)


def get_channel(tx: Tx, org: str, identifier: str) -> Channel | None:
    """The one of this id."""
    return fetch_one(tx, Channel, _CHANNEL, org=org, id=identifier)


def list_channels(tx: Tx, org: str) -> list[Channel]:
    """By name."""
    chosen = sa.select(channels).where(channels.c.org == org)
    return fetch_all(tx, Channel, chosen.order_by(channels.c.name))


def channels_owned(tx: Tx, owner: str) -> list[Channel]:
    """Those of an account that are not suspended, in whichever organization."""
    c = channels.c
    chosen = sa.select(channels).where(c.owner == owner, c.suspended == "")
    return fetch_all(tx, Channel, chosen.order_by(c.org, c.name))


def delete_channel(tx: Tx, org: str, identifier: str) -> None:
    """Remove it and its messages, but for those that a legal hold covers."""
    c, d = channels.c, deliveries.c
    tx.execute(channels.delete().where(c.org == org, c.id == identifier))
    mine = d.org == org, d.channel == identifier, sa.not_(is_held(d.org, d.created_at))
    tx.execute(deliveries.delete().where(*mine))


def update_channel(tx: Tx, org: str, identifier: str, **values: Any) -> None:
    """Store the outcome of a message, beside fields that people change."""
    c = channels.c
    tx.execute(channels.update().where(c.org == org, c.id == identifier).values(**values))


def count_omitted(tx: Tx, org: str, identifier: str, count: int) -> None:
    """Count notices that the full queue has dropped."""
    update_channel(tx, org, identifier, omitted=channels.c.omitted + count)


def add_delivery(tx: Tx, row: Delivery) -> None:
    """Add a message."""
    insert_row(tx, deliveries, row)


def put_delivery(tx: Tx, row: Delivery) -> None:
    """Replace it."""
    insert_or_replace(tx, deliveries, row)


def get_delivery(tx: Tx, org: str, identifier: str) -> Delivery | None:
    """The one of this id."""
    return fetch_one(tx, Delivery, _DELIVERY, org=org, id=identifier)


def delete_delivery(tx: Tx, org: str, identifier: str) -> bool:
    """Remove it, unless a legal hold covers it; whether it is gone."""
    d = deliveries.c
    mine = d.org == org, d.id == identifier, sa.not_(is_held(d.org, d.created_at))
    return tx.execute(deliveries.delete().where(*mine)).rowcount > 0


def list_deliveries(
    tx: Tx, org: str, *, channel: str, state: State | None, before: int, limit: int
) -> list[Delivery]:
    """The newest first, older than `before` if that is not 0."""
    d = deliveries.c
    rules = [d.org == org]
    if channel:
        rules.append(d.channel == channel)
    if state is not None:
        rules.append(d.state == str(state))
    if before:
        rules.append(d.created_at < before)
    chosen = sa.select(deliveries).where(*rules).order_by(d.created_at.desc(), d.id)
    return fetch_all(tx, Delivery, chosen.limit(limit))


def due_deliveries(tx: Tx, now: int, limit: int) -> list[Delivery]:
    """Messages that may be tried: of each channel the first, then of each the second, and so on.

    Channels with many messages so leave room for others. Messages of disabled channels are not due.
    """
    return fetch_all(tx, Delivery, _DUE, now=now, most=limit)


def delete_oldest_dead(tx: Tx, org: str, identifier: str) -> bool:
    """Delete a channel's oldest dead letter that no legal hold covers; whether there was one."""
    d = deliveries.c
    mine = d.org == org, d.channel == identifier, d.state == str(State.DEAD)
    oldest = (
        sa.select(d.id)
        .where(*mine, sa.not_(is_held(d.org, d.created_at)))
        .order_by(d.created_at, d.id)
        .limit(1)
        .correlate(None)
    )
    return tx.execute(deliveries.delete().where(d.org == org, d.id.in_(oldest))).rowcount > 0


def count_by_state(tx: Tx, org: str) -> dict[tuple[str, State], int]:
    """How many messages each channel has in each state."""
    d = deliveries.c
    chosen = sa.select(d.channel, d.state, sa.func.count()).where(d.org == org)
    rows = tx.execute(chosen.group_by(d.channel, d.state))
    return {(row[0], State(row[1])): row[2] for row in rows}


def count_waiting(tx: Tx, org: str, identifier: str) -> int:
    """How many messages of a channel are on their way."""
    d = deliveries.c
    mine = d.org == org, d.channel == identifier, d.state == str(State.WAITING)
    return int(tx.execute(sa.select(sa.func.count()).where(*mine)).scalar_one())


def count_all_by_state(tx: Tx) -> dict[State, int]:
    """How many messages there are in each state that matters, of all organizations."""
    return {State(row[0]): row[1] for row in tx.execute(_TALLY)}


def delete_older_deliveries(tx: Tx, state: State, before: int) -> int:
    """Remove those that ended before; how many."""
    d = deliveries.c
    mine = d.state == str(state), d.finished_at < before, sa.not_(is_held(d.org, d.created_at))
    return tx.execute(deliveries.delete().where(*mine)).rowcount
