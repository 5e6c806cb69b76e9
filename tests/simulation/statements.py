"""What SQLAlchemy and Alembic have learned outlives the lives that learned it.

A control plane that is started again has new engines, which compile every statement anew: as much
work as executing them, and no part of what a run is about. Here all engines of a process share one
dialect and what is compiled for it, and the steps of the schema are read once.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.util import LRUCache

MOST: Final = 2000  # statements; several times what the control plane has


def taught(before: Callable[..., sa.Engine]) -> Callable[..., sa.Engine]:
    """In the place of `control.store.engines._engine`."""

    def engine(url: str, **options: Any) -> sa.Engine:
        made, known = before(url, **options), _known()
        made.dialect = made.pool._dialect = known.dialect
        made._compiled_cache = known._compiled_cache
        return made

    return engine


def read_once(before: Callable[[Config], ScriptDirectory]) -> Callable[[Config], ScriptDirectory]:
    """In the place of `ScriptDirectory.from_config`; one control plane has one set of steps."""
    known: list[ScriptDirectory] = []

    def from_config(config: Config) -> ScriptDirectory:
        if not known:
            known.append(before(config))
        return known[0]

    return from_config


@cache
def _known() -> sa.Engine:
    """Connected once: its dialect knows the database's version."""
    engine = sa.create_engine("sqlite://", query_cache_size=0)
    engine._compiled_cache = LRUCache(MOST)
    with engine.connect():
        return engine
