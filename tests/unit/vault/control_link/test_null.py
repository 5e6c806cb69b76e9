"""An agent without a control plane: what it has of one, and what it once sent."""

from pathlib import Path

import pytest
from trio.lowlevel import checkpoint

from actors.testing import FakeWorld
from tests.unit.vault.config.test_settings import settings
from tests.unit.vault.control_link.test_egress_ledger import ledger, sending
from tests.unit.vault.gatehouse import FakeSystem, FakeUnit
from vault.config import Settings
from vault.control_link.null import EGRESS, FOLDER, NullControlLink, link_folder
from vault.control_link.ports import link_disabled
from vault.errors import UnavailableError
from vault.seal.configured_seal import SHARES, ConfiguredSeals
from vault.seal.manager import SealManager
from vault.store.memory import MemoryBackend


def alone(folder: Path, **control_plane: object) -> Settings:
    """Of an agent over this folder."""
    storage = {"connection_string": f"sqlite:///{folder / 'vault.db'}"}
    return settings(storage=storage, control_plane=control_plane)


def test_it_has_no_link(tmp_path: Path) -> None:
    """And holds no bundle of anybody's."""
    ports = NullControlLink(alone(tmp_path), FakeWorld()).ports
    assert (ports.link_status, ports.trust(), ports.followers) == (link_disabled, None, ())


def test_its_ceiling_is_read(tmp_path: Path) -> None:
    """What is not understood keeps an agent from starting, linked or not."""
    missing = alone(tmp_path, ceiling=tmp_path / "missing.json")
    with pytest.raises(UnavailableError):
        NullControlLink(missing, FakeWorld())


async def test_what_it_once_sent_can_be_looked_at(tmp_path: Path) -> None:
    """The ledger outlives the link; where there is none, nothing was sent."""
    own, world = alone(tmp_path), FakeWorld()
    ports = NullControlLink(own, world).ports
    assert (await ports.list_sent(0, 10)).entries == ()
    (tmp_path / FOLDER).mkdir()
    async with ledger(link_folder(own) / EGRESS) as opened:
        await opened.record(sending(), [b"a frame"])
    assert [entry.length for entry in (await ports.list_sent(0, 10)).entries] == [len(b"a frame")]
    assert (await ports.verify_sent()).entries == 1


async def test_it_serves_without_any_keeping(tmp_path: Path) -> None:
    """As long as the agent does; none of the link's files is made."""
    own, world = alone(tmp_path), FakeWorld()
    gate = SealManager(
        system_table=FakeSystem(), open_core=FakeUnit().open,
        seals=ConfiguredSeals(SHARES), org="o", world=world, check_paths=checkpoint,
    )  # fmt: skip
    async with NullControlLink(own, world).keep_linked(gate, MemoryBackend(), lambda: 0.0):
        assert not link_folder(own).exists()
