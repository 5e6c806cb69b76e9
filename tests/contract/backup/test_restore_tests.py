"""Restore tests by the schedule: what is tested when, what is recorded, what counts as proven."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio

from actors.world import SystemWorld
from protocols.instant import DAY, MAX_NS, SECOND, parse_rfc3339, rfc3339
from tests.contract.backup.samples import back_up
from tests.support.sealed_vaults import fill_sealed
from tests.support.vaults import ROOT_KEY, Vault
from vault.audit.record import AuditEvent
from vault.backup.certificate import read_unverified_certificate, sign_certificate
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.destinations.interface import Destination
from vault.backup.format import read_unverified_manifest, sign_manifest
from vault.backup.keys import VaultKeys
from vault.backup.proof import ProofLimits
from vault.backup.restore_tests import RestoreTestParts, RestoreTests
from vault.crypto.digest import sha256

Times = Callable[[int], int]
CREATED = "2025-01-15T08:00:00Z"


class Scene:
    """The tests of a vault with two destinations, of which `b` has a backup; what they record."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, SystemWorld()
        self.vault = Vault(f"sqlite:///{folder}/vault.db")
        self.events: list[AuditEvent] = []
        with self.vault.opened():
            fill_sealed(self.vault, 4)
            back_up(self.vault, folder / "b", "full", created=CREATED)
        (folder / "empty").mkdir()

    def tests(self, next_time: Times, limits: ProofLimits | None = None) -> RestoreTests:
        """Those of an agent that starts now."""

        async def record(event: AuditEvent) -> None:
            self.events.append(event)

        destinations: dict[str, Destination] = {
            name: LocalDirectory(self.folder / name) for name in ("empty", "b")
        }
        return RestoreTests(
            RestoreTestParts(
                destinations=destinations,
                keys=VaultKeys(self.vault.keyring),
                root_key=lambda: ROOT_KEY,
                next_time=next_time,
                work=self.folder / "work",
                world=self.world,
                record=record,
                limits=limits or ProofLimits(),
            )
        )

    @property
    def certificates(self) -> list[str]:
        """Their names."""
        return sorted(path.name for path in self.folder.glob("b/*.certificate"))


@pytest.fixture
def tested(tmp_path: Path) -> Scene:
    """One."""
    return Scene(tmp_path)


def never(_after: int) -> int:
    """A schedule of which no time comes."""
    return MAX_NS


def test_due(tested: Scene) -> None:
    """The newest backup is tested and recorded with the hash; then it counts as proven."""

    async def main() -> None:
        tests = tested.tests(never)
        assert tests.proven() == 0
        await tests.run()
        assert tests.proven() == parse_rfc3339(CREATED, "")

    trio.run(main)
    assert tested.certificates == ["full.1.certificate"]
    (event,) = tested.events
    assert (event.operation, event.result, event.path) == ("backup.prove", "ok", "sys/backups/full")
    assert not event.alert
    assert "4 of 4 values decrypted" in event.rule
    assert "SHA-256 " in event.rule


def test_another_agent(tested: Scene) -> None:
    """It knows what was proven from the destinations; forged certificates prove nothing."""
    trio.run(tested.tests(never).run)
    other = VaultKeys(Vault("sqlite:///unused.db").keyring).backup

    async def main() -> None:
        tests = tested.tests(never)
        await tests.run()
        assert tests.proven() == parse_rfc3339(CREATED, "")

    trio.run(main)
    assert len(tested.events) == 1
    made = tested.folder / "b" / "full.1.certificate"
    found = read_unverified_certificate(made.read_bytes())
    made.write_bytes(sign_certificate(found, other))

    trio.run(main)  # so the backup is tested again
    assert tested.certificates == ["full.1.certificate", "full.2.certificate"]


def test_backups_from_the_future_prove_nothing(tested: Scene) -> None:
    """The clock was ahead when they were made and tested: others are tested, not they for ever."""
    ahead, keys = rfc3339(tested.world.now() + 365 * DAY), VaultKeys(tested.vault.keyring).backup
    place = tested.folder / "b"
    made = read_unverified_manifest((place / "full.manifest").read_bytes())
    future = msgspec.structs.replace(made, id="future", created=ahead)
    (place / "future.manifest").write_bytes(sign_manifest(future, keys))
    trio.run(tested.tests(never).run)
    assert [event.path for event in tested.events] == ["sys/backups/full"]
    proven = read_unverified_certificate((place / "full.1.certificate").read_bytes())
    proven = msgspec.structs.replace(
        proven, backup="future", digest=future.digest, created=ahead, began=ahead, finished=ahead
    )
    (place / "future.1.certificate").write_bytes(sign_certificate(proven, keys))

    async def main() -> None:
        tests = tested.tests(never)
        await tests.refresh()
        assert tests.proven() == parse_rfc3339(CREATED, "")
        assert tests.proof().certificate == sha256((place / "full.1.certificate").read_bytes())

    trio.run(main)


def test_missed_time(tested: Scene) -> None:
    """A time that passed while no agent ran is made up: it counts from the last certificate."""
    trio.run(tested.tests(never).run)
    path, keys = tested.folder / "b" / "full.1.certificate", VaultKeys(tested.vault.keyring)
    hour = 3600 * SECOND
    old = rfc3339(tested.world.now() - 2 * hour)
    found = read_unverified_certificate(path.read_bytes())
    path.write_bytes(
        sign_certificate(msgspec.structs.replace(found, began=old, finished=old), keys.backup)
    )

    async def main() -> None:
        tests = tested.tests(lambda after: after + hour)
        await tests.run()
        assert len(tested.certificates) == 2
        await tests.run()
        assert len(tested.certificates) == 2

    trio.run(main)


def test_first(tested: Scene) -> None:
    """The first backup is tested without waiting for the schedule; the next one waits for it."""

    async def main() -> None:
        tests = tested.tests(never)
        await tests.run()
        await tests.run()

    trio.run(main)
    assert tested.certificates == ["full.1.certificate"]
    assert [event.path for event in tested.events] == ["sys/backups/full"]  # none of `empty`


def test_failures(tested: Scene) -> None:
    """A damaged backup is an alert, a test that fails is none; neither is tried again at once."""
    data = tested.folder / "b" / "full.backup"
    whole = data.read_bytes()
    hour = 3600 * SECOND

    async def main(limits: ProofLimits | None = None) -> None:
        tests = tested.tests(lambda after: after + hour, limits)
        await tests.run()
        await tests.run()
        assert tests.proven() == 0

    data.write_bytes(whole[:-1])
    trio.run(main)
    data.write_bytes(whole)
    trio.run(main, ProofLimits(command=("/bin/false",)))
    assert [(event.code, event.alert) for event in tested.events] == [
        ("backup_damaged", True),
        ("backup_proof_stopped", False),
    ]
    assert {event.result for event in tested.events} == {"failed"}
    assert not tested.certificates


def test_cancelled(tested: Scene) -> None:
    """A vault that is sealed does not wait for it, and nothing is left."""

    async def main() -> None:
        limits = ProofLimits(command=("/bin/sh", "-c", "sleep 600"))
        with trio.move_on_after(1.0) as scope:
            await tested.tests(never, limits).run()
        assert scope.cancelled_caught

    trio.run(main)
    assert not tested.events
    assert not list((tested.folder / "work").iterdir())
