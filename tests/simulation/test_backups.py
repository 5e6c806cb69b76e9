"""Months of scheduled backups in an order by chance: missed times, wrong clocks, dead places.

What must hold in every run: after each look at the schedule a healthy destination has a backup
behind the last scheduled time; each backup that the vault lists as good restores, so its chain is
whole; the newest chain is never removed; and a destination never holds much more than retention
says.
"""

import random
from pathlib import Path

import pytest

from protocols.cron import next_time
from protocols.instant import DAY, HOUR
from tests.contract.backup.managed import Managed, Place
from tests.contract.backup.samples import fill, ignored
from tests.support.vaults import Vault
from vault.backup.restore import verify_backup

STEPS = 60
CRON = "0 */6 * * *"


def require_sound(managed: Managed, healthy: set[str]) -> None:
    """What must hold after a look at the schedule."""
    now = managed.world.now()
    for name, place in managed.places.items():
        if place.fails:
            continue
        catalog = managed.catalog(name)
        assert not catalog.incomplete
        newest = catalog.newest(now)
        if name in healthy:
            assert newest is not None
            assert next_time(CRON, newest.created) > now
        if newest is not None:
            verify_backup(place, newest.id, managed.keys, progress=ignored)


@pytest.mark.parametrize("seed", range(6))
async def test_months_of_backups(seed: int, tmp_path: Path) -> None:
    """By chance, each seed the same again."""
    chance = random.Random(seed)
    vault = Vault(f"sqlite:///{tmp_path}/vault.db")
    with vault.opened():
        fill(vault, 2)
        places = {"one": Place(), "two": Place()}
        managed = Managed(
            vault, places, schedule=CRON, full_interval=DAY, keep_count=5, keep_age=12 * HOUR
        )
        step = 0
        while step < STEPS:
            async with managed.serving():
                for _ in range(chance.randrange(1, 15)):
                    step += 1
                    what = chance.random()
                    if what < 0.15:
                        place = chance.choice(list(places.values()))
                        place.fails = not place.fails
                    elif what < 0.25:
                        managed.world.step_wall(chance.choice([-2, -0.5, 0.5, 3]) * 86_400)
                    managed.change()
                    managed.world.advance(chance.choice([60, 3600, 6 * 3600, 30 * 3600]))
                    before = {name for name, place in places.items() if not place.fails}
                    failing = {
                        one.name
                        for one in (await managed.manager.read_schedule()).destinations
                        if one.failures
                    }
                    await managed.tick()
                    require_sound(managed, before - failing)
