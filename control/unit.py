"""The running control plane: every part wired to the ones it may use, from the bottom up.

    store ─ services ─ authn, trail ─ pipeline ─ background work

What joins later (the agents' gateway, the dashboard's feed) gets the `Plane` and its bus.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher

from actors import World
from actors.periodic import Job, working
from control.api.plane import Plane
from control.authn.accounts import Accounts
from control.authn.passwords import Passwords
from control.authn.users import Users
from control.config.settings import Settings
from control.crypto import SigningKey
from control.pipeline import Pipeline
from control.services.alerts import Alerts
from control.services.bundles import Terms
from control.services.events import Bus
from control.services.metrics import Metrics, Retention
from control.services.policies import Policies
from control.services.presence import Rule, Watch
from control.services.registry import Registry
from control.services.rollouts import Rollouts
from control.services.trail import Trail
from control.services.witness import Witness
from control.store.store import Store, open_store
from protocols.instant import SECOND
from protocols.link.bundle import PolicyKey
from protocols.pki.keys import load_signing_key, new_signing_key, store_key

WATCH_EVERY: Final = 1.0  # seconds; how exact "late" and "offline" are
ROLL_EVERY: Final = 1.0
SWEEP_EVERY: Final = 300.0


@asynccontextmanager
async def open_plane(
    settings: Settings, world: World, hasher: PasswordHasher | None = None
) -> AsyncIterator[Plane]:
    """Everything, for the length of the block. Raises what `open_store` raises, `PkiKeyError`."""
    folder = settings.keys.folder
    policy = await world.run_sync(signing_key, folder, "policy")
    witness = await world.run_sync(signing_key, folder, "witness")
    url = settings.database.url.get_secret_value()
    readers = settings.database.max_connections
    async with open_store(url, world, readers=readers) as store:
        passwords = Passwords(world, hasher)
        plane = _wire(settings, store, passwords, PolicyKey(policy), witness)
        await plane.watch.load()
        async with working(_jobs(plane, settings), world):
            yield plane


def signing_key(folder: Path, name: str) -> SigningKey:
    """The Ed25519 key in `folder/name.pem`, made there the first time. Raises `PkiKeyError`."""
    path = folder / f"{name}.pem"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        store_key(path, new_signing_key())
    return load_signing_key(path)


def _wire(
    settings: Settings,
    store: Store,
    passwords: Passwords,
    policy: PolicyKey,
    witness: SigningKey,
) -> Plane:
    bus, world = Bus(), passwords.world
    accounts, trail = Accounts(store, passwords, world), Trail(store, world)
    presence, kept = settings.presence, settings.retention
    watch = Watch(store, bus, Rule(presence.heartbeat, presence.offline_after), world)
    alerts = Alerts(store, bus, world)
    policies = Policies(store, bus, Terms(policy, settings.keys.bundle_life), world)
    retention = Retention(
        raw=kept.metrics_raw // SECOND,
        minutes=kept.metrics_minutes // SECOND,
        hours=kept.metrics_hours // SECOND,
    )
    public = witness.public_key().public_bytes_raw()
    return Plane(
        world=world,
        store=store,
        bus=bus,
        pipeline=Pipeline(accounts, trail),
        accounts=accounts,
        users=Users(store, passwords, world),
        trail=trail,
        registry=Registry(store, bus, watch, world),
        watch=watch,
        policies=policies,
        rollouts=Rollouts(store, policies, alerts, world),
        metrics=Metrics(store, retention, world),
        alerts=alerts,
        witness=Witness(settings.keys.witness_name, public, witness.sign),
    )


def _jobs(plane: Plane, settings: Settings) -> list[Job]:
    days = settings.retention.alerts // (86_400 * SECOND)
    sweeps: dict[str, Callable[[], Awaitable[object]]] = {
        "credentials": plane.accounts.sweep,
        "metrics": plane.metrics.sweep,
        "alerts": partial(plane.alerts.sweep, days),
    }
    return [
        Job("presence", WATCH_EVERY, plane.watch.tick),
        Job("last-words", 3600.0, plane.watch.flush, at_end=True),
        Job("rollouts", ROLL_EVERY, plane.rollouts.tick),
        *(Job(f"sweep-{name}", SWEEP_EVERY, run) for name, run in sweeps.items()),
    ]
