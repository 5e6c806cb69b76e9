"""Metric series, and their samples at three resolutions."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from control.model.records import Sample
from control.store.agents import vault_key
from control.store.legal_holds import is_sample_held
from control.store.rows import Tx, fetch_all, upsert_statement
from control.store.tables import agents, samples, series

_MERGED: Final = ("count", "total")
_SERIES: Final = sa.select(series.c.name, series.c.id).where(
    series.c.org == sa.bindparam("org"), series.c.vault == sa.bindparam("vault")
)


def list_series(tx: Tx, org: str, vault: str) -> dict[str, int]:
    """Name to number of each series that this agent has."""
    return {row.name: row.id for row in tx.execute(_SERIES, {"org": org, "vault": vault})}


def add_series(tx: Tx, org: str, vault: str, names: Iterable[str]) -> dict[str, int]:
    """Add series; name to number."""
    added = {}
    for name in names:
        made = tx.execute(series.insert().values(org=org, vault=vault, name=name))
        key = made.inserted_primary_key
        added[name] = 0 if key is None else int(key[0])
    return added


def merge_samples(tx: Tx, rows: Iterable[tuple[int, int, Sample]]) -> None:
    """Put samples (series, resolution, sample) into their buckets; what is there is added to."""
    values = [
        {"series": number, "resolution": resolution, **_fields(sample)}
        for number, resolution, sample in rows
    ]
    if values:
        tx.execute(_merge(upsert_statement(tx, samples), tx.dialect.name), values)


def samples_between(
    tx: Tx, number: int, resolution: int, *, since: int, until: int, limit: int
) -> list[Sample]:
    """Samples with `since` <= at < `until` (Unix seconds), in order."""
    t = samples.c
    chosen = sa.select(t.at, t.count, t.total, t.low, t.high, t.last).where(
        t.series == number, t.resolution == resolution, t.at >= since, t.at < until
    )
    return fetch_all(tx, Sample, chosen.order_by(t.at).limit(limit))


def summed_means(
    tx: Tx, org: str, name: str, *, since: int, until: int, once_a_vault: bool = False
) -> float:
    """The agents' means of this figure in that time (Unix seconds, by the hour), added up.

    `once_a_vault`: of the nodes of a vault the highest.
    """
    t, of, a = samples.c, series.c, agents.c
    mean = (sa.func.sum(t.total) / sa.func.sum(t.count)).label("mean")
    counted = vault_key(of.vault) if once_a_vault else of.vault
    named = series.outerjoin(agents, (a.org == of.org) & (a.vault == of.vault))
    means = (
        sa.select(counted.label("of"), mean)
        .select_from(named.join(samples, t.series == of.id))
        .where(of.org == org, of.name == name, of.vault != "")
        .where(t.resolution == 3600, t.at >= since, t.at < until)  # noqa: PLR2004
        .group_by(of.vault, counted)
        .subquery()
    )
    highest = sa.select(sa.func.max(means.c.mean).label("mean")).group_by(means.c.of).subquery()
    total = sa.func.coalesce(sa.func.sum(highest.c.mean), 0.0)
    return float(tx.execute(sa.select(total)).scalar_one())


def delete_older_samples(tx: Tx, resolution: int, before: int) -> int:
    """Remove samples that are older than `before` (Unix seconds) and free; how many."""
    t = samples.c
    old = t.resolution == resolution, t.at < before
    return tx.execute(samples.delete().where(*old, sa.not_(is_sample_held()))).rowcount


def _fields(sample: Sample) -> dict[str, float]:
    return {field: getattr(sample, field) for field in sample.__struct_fields__}


@cache
def _merge(insert: Any, dialect: str) -> Any:
    """The statement of `merge_samples`, made once from this insert of the dialect's."""
    t, new = samples.c, insert.excluded
    lowest, highest = ("least", "greatest") if dialect == "postgresql" else ("min", "max")
    return insert.on_conflict_do_update(
        index_elements=["series", "resolution", "at"],
        set_={
            **{name: t[name] + new[name] for name in _MERGED},
            "low": getattr(sa.func, lowest)(t.low, new.low),
            "high": getattr(sa.func, highest)(t.high, new.high),
            "last": new.last,
        },
    )
