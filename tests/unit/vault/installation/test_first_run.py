import os
import stat
from pathlib import Path

import pytest

from actors.testing import FakeWorld
from protocols.instant import DAY
from protocols.pki.certificates import host_names, is_for_host, parse_pem_chain, validity_period
from protocols.pki.service_certificates import verify_service
from tests.unit.vault.installation.place import NAME, NOW, Place
from vault.config import load_settings
from vault.errors import ConflictError, SetupError
from vault.installation.first_run import (
    CERTIFICATE_LIFE,
    FirstRun,
    make_certificate,
    prepare,
    renew_certificate,
    trust_command,
)
from vault.installation.machine import User


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def run(tmp_path: Path) -> FirstRun:
    """What a person asks for who has no systemd."""
    return FirstRun(
        config=tmp_path / "etc/vault.yaml",
        user=User.current(),
        names=(NAME, "10.1.2.3"),
        listen="0.0.0.0:8200",
        data=tmp_path / "data",
        logs=tmp_path / "logs",
    )


@pytest.mark.parametrize("key_file", [False, True])
def test_the_agent_takes_the_configuration(tmp_path: Path, key_file: bool) -> None:
    """As it is written, with what was asked for in it."""
    run = FirstRun(
        config=tmp_path / "vault.yaml", user=User.current(), names=(NAME,), listen="[::]:8210",
        data=tmp_path / "a b", logs=tmp_path / "logs", key_file=key_file,
    )  # fmt: skip
    prepare(run)
    settings = load_settings(run.config, {})
    assert settings.server.address == ("::", 8210)
    assert settings.storage.file == tmp_path / "a b/vault.db"
    assert settings.anchor_file == tmp_path / "a b-anchor/vault.anchor"
    assert settings.encryption.key_management == ("file" if key_file else "shamir")
    assert settings.encryption.key_file == (tmp_path / "a b-key/root.key" if key_file else None)
    assert settings.server.tls.cert_file == tmp_path / "tls/server.crt"


def test_folders_are_the_agents_alone(run: FirstRun) -> None:
    """Whatever the umask is; the configuration can be read by its group."""
    before = os.umask(0)
    try:
        prepare(run)
    finally:
        os.umask(before)
    assert [mode(folder) for folder in run.folders] == [0o700] * 3
    assert mode(run.config) == 0o640


def test_nothing_that_is_there_is_changed(run: FirstRun) -> None:
    """It can be repeated, also with other options."""
    world = FakeWorld(NOW)
    files = run.tls / "server.crt", run.tls / "server.key"
    prepare(run)
    make_certificate(*files, run.names, run.user, world)
    run.config.write_text("# mine\n")
    run.data.chmod(0o750)
    before = [file.read_bytes() for file in (*files, run.tls / "ca.crt", run.config)]
    assert prepare(run) == [f"kept {run.config}"]
    assert make_certificate(*files, run.names, run.user, world) == [f"kept {files[0]}, {files[1]}"]
    assert [file.read_bytes() for file in (*files, run.tls / "ca.crt", run.config)] == before
    assert mode(run.data) == 0o750


def test_one_file_of_a_certificate_is_enough_to_leave_it(run: FirstRun) -> None:
    """A key of the user's own, whose certificate is still to come, is not replaced."""
    key = run.tls / "server.key"
    run.tls.mkdir(parents=True)
    key.write_text("mine")
    make_certificate(run.tls / "server.crt", key, run.names, run.user, FakeWorld(NOW))
    assert [path.name for path in run.tls.iterdir()] == ["server.key"]
    assert key.read_text() == "mine"


def test_clients_that_trust_the_authority_take_the_certificate(run: FirstRun) -> None:
    """For each name, and no other; keys are their owner's alone."""
    world = FakeWorld(NOW)
    files = run.tls / "server.crt", run.tls / "server.key"
    make_certificate(*files, run.names, run.user, world)
    pem, key = (file.read_text() for file in files)
    root = (run.tls / "ca.crt").read_text()
    assert verify_service(key, pem, root, run.names, NOW)
    [leaf] = parse_pem_chain(pem.encode())
    assert is_for_host(leaf, NAME)
    assert not is_for_host(leaf, "other.example.com")
    assert validity_period(leaf)[1] - NOW <= CERTIFICATE_LIFE
    assert [mode(run.tls / name) for name in ("server.key", "ca.key")] == [0o600, 0o600]
    assert str(run.tls / "ca.crt") in trust_command(run)


def test_a_renewed_certificate_is_of_the_same_authority(place: Place) -> None:
    """So nobody has to trust anything anew; names stay, the key is another one."""
    tls, later = place.run.tls, NOW + 390 * DAY
    files = tls / "server.crt", tls / "server.key"
    before = files[1].read_bytes()
    place.world.step_wall(390 * DAY // 10**9)
    renew_certificate(*files, place.world)
    pem, key = (file.read_text() for file in files)
    assert key.encode() != before
    assert verify_service(key, pem, (tls / "ca.crt").read_text(), place.run.names, later)
    assert host_names(parse_pem_chain(pem.encode())[0]) == (NAME, "127.0.0.1")
    assert files[1].stat().st_uid == place.run.user.uid
    assert place.findings() == ()


def test_a_certificate_of_others_is_not_renewed(place: Place) -> None:
    """Without the authority's key there is nothing to sign it with."""
    (place.run.tls / "ca.key").unlink()
    with pytest.raises(ConflictError, match="put it back") as caught:
        renew_certificate(place.run.tls / "server.crt", place.run.tls / "server.key", place.world)
    assert caught.value.code == "no_authority"


def test_a_damaged_authority_leaves_the_certificate(place: Place) -> None:
    """What is in use stays in use."""
    tls = place.run.tls
    (tls / "ca.key").write_text("no key")
    before = (tls / "server.crt").read_bytes()
    with pytest.raises(SetupError) as caught:
        renew_certificate(tls / "server.crt", tls / "server.key", place.world)
    assert caught.value.code == "renew_failed"
    assert (tls / "server.crt").read_bytes() == before


def test_a_place_that_cannot_be_written(run: FirstRun, tmp_path: Path) -> None:
    """Says where, and which option names another one."""
    (tmp_path / "etc").write_text("a file")
    with pytest.raises(SetupError, match="--config") as caught:
        prepare(run)
    assert caught.value.code == "init_failed"
