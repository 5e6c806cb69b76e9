"""Each fault that a user meets is planted in a sound installation, and found with what to do."""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from protocols.instant import DAY, SECOND
from tests.unit.vault.installation.place import Place, Plant, Usage, break_glass
from vault.config.settings import METHOD_LIBRARIES
from vault.installation.doctor import CHECKS, FIRST_RUN, examine
from vault.installation.first_run import make_certificate, renew_certificate
from vault.installation.machine import Machine
from vault.seal.root_keys.provider import WrappedKey
from vault.seal.seal_record import SealRecord

AS_ROOT = os.geteuid() == 0
OTHER_DISK = "30 1 8:1 / / rw,relatime - {kind} /dev/sda1 rw{options}"


def test_a_sound_installation_has_no_findings(place: Place) -> None:
    """So that whatever is found below was planted."""
    assert place.findings() == ()


def _misspell(place: Place) -> None:
    place.change(server={"lisen": "127.0.0.1:1"})


def _remove_config(place: Place) -> None:
    place.config.unlink()


def _open_config(place: Place) -> None:
    place.change(
        storage={"type": "postgresql", "connection_string": "postgresql://u:pw@127.0.0.1:1/d"}
    )
    place.config.chmod(0o644)


def _mode(name: str, mode: int) -> Plant:
    def plant(place: Place) -> None:
        (place.folder / name).chmod(mode)

    return plant


def _remove(name: str) -> Plant:
    def plant(place: Place) -> None:
        path = place.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return plant


def _foreign(place: Place) -> None:
    if AS_ROOT:
        os.chown(place.run.data / "vault.db", 0, 0)
    else:
        place.on(user=replace_uid(place.machine))


def replace_uid(machine: Machine) -> object:
    """The agent is somebody else than the files' owner."""
    return machine.user._replace(uid=machine.user.uid + 1)


def _link_database(place: Place) -> None:
    database = place.run.data / "vault.db"
    database.rename(place.folder / "elsewhere.db")
    database.symlink_to(place.folder / "elsewhere.db")


def _file_for_folder(place: Place) -> None:
    shutil.rmtree(place.run.anchor)
    place.run.anchor.touch()


def _no_right_to_make(place: Place) -> None:
    shutil.rmtree(place.run.logs)
    if not AS_ROOT:
        place.folder.chmod(0o555)


def _disk(free: int) -> Plant:
    return lambda place: place.on(usage=lambda _: Usage(1 << 40, free))


def _mounted(kind: str = "ext4", options: str = "") -> Plant:
    return lambda place: place.on(
        mounts=lambda: OTHER_DISK.format(kind=kind, options=options and f",{options}")
    )


def _read_only(place: Place) -> None:
    place.on(mounts=lambda: "30 1 8:1 / / ro,relatime - ext4 /dev/sda1 ro")


def _later(seconds: int) -> Plant:
    def plant(place: Place) -> None:
        place.world.advance(seconds)

    return plant


def _set_back(place: Place) -> None:
    later = place.world.wall() + 3_600 * SECOND
    os.utime(place.run.data / "vault.db", ns=(later, later))


def _tomorrow(place: Place) -> None:
    """The certificate of a machine whose clock was a day ahead."""
    tls = place.run.tls
    for name in ("server.crt", "server.key", "ca.crt", "ca.key"):
        (tls / name).unlink()
    place.world.advance(DAY // SECOND)
    make_certificate(
        tls / "server.crt", tls / "server.key", place.run.names, place.run.user, place.world
    )
    place.world.step_wall(-DAY // SECOND)


def _other_pair(place: Place) -> None:
    tls = place.run.tls
    kept = (tls / "server.crt").read_bytes()
    renew_certificate(tls / "server.crt", tls / "server.key", place.world)
    (tls / "server.crt").write_bytes(kept)


def _no_certificate(place: Place) -> None:
    (place.run.tls / "server.crt").write_text("not PEM")


def _unusable_key(place: Place) -> None:
    (place.run.tls / "server.key").write_text("not a key")


def _no_authorities(place: Place) -> None:
    place.change(server={"tls": {"ca_file": "none.crt", "client_auth": "required"}})


def _listen(address: str) -> Plant:
    return lambda place: place.change(server={"listen": address})


def _low_port(place: Place) -> None:
    place.change(server={"listen": "127.0.0.1:23"})


def _damaged(place: Place) -> None:
    (place.run.data / "vault.db").write_bytes(b"no database" * 1_000)


def _torn(place: Place) -> None:
    file = place.run.data / "vault.db"
    found = bytearray(file.read_bytes())
    for page in range(1, len(found) // 4096):
        found[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    file.write_bytes(found)


def _schema(step: str) -> Plant:
    return lambda place: place.query("UPDATE alembic_version SET version_num = ?", step)


def _seal(value: bytes) -> Plant:
    return lambda place: place.query("UPDATE system SET value = ? WHERE name = 'seal'", value)


def _no_vault(place: Place) -> None:
    place.query("DELETE FROM system")


def _not_made_yet(place: Place) -> None:
    _no_vault(place)
    (place.run.anchor / "vault.anchor").unlink()


def _unreachable(place: Place) -> None:
    place.change(
        storage={"type": "postgresql", "connection_string": "postgresql://u@127.0.0.1:1/d"}
    )


def _short_key(place: Place) -> None:
    (place.run.key / "root.key").write_bytes(b"short")


def _people(place: Place) -> None:
    place.change(encryption={"key_management": "shamir", "key_file": None})


def _backup_here(place: Place) -> None:
    place.change(
        backup={"destinations": [{"type": "local", "path": str(place.folder / "backups")}]}
    )
    (place.folder / "backups").mkdir(mode=0o777)
    (place.folder / "backups").chmod(0o777)


def _backup_closed(place: Place) -> None:
    _backup_here(place)
    (place.folder / "backups").chmod(0o555)


def _no_module(place: Place) -> None:
    place.change(
        encryption={
            "key_management": "hsm",
            "key_file": None,
            "hsm": {"module": "/none.so", "token": "t", "key_label": "k", "pin_variable": "P"},
        }
    )


def _providers(*wrapped: str, is_behind: bool = False) -> Plant:
    """A vault with two providers, files in `wrapping` both; these have wrapped its root key."""

    def plant(place: Place) -> None:
        folder = place.folder / "wrapping"
        folder.mkdir(mode=0o700)
        keys = {name: folder / f"{name}.keys" for name in ("near", "far")}
        for file in keys.values():
            file.touch(mode=0o600)
        if AS_ROOT:
            for path in (folder, *keys.values()):
                os.chown(path, place.run.user.uid, place.run.user.gid)
        place.change(
            encryption={
                "key_management": "providers",
                "key_file": None,
                "providers": [{"name": name, "key_file": str(keys[name])} for name in keys],
            }
        )
        record = SealRecord(
            type="static", shares=1, threshold=1, org="local", vault="v", created_at=1
        )
        wrappings = [
            WrappedKey(
                provider=name, type="static", key=name, algorithm="AES-GCM", ciphertext=b"x",
                is_behind=is_behind,
            )
            for name in wrapped
        ]  # fmt: skip
        place.store("seal", record.with_wrappings(tuple(wrappings)).encode())

    return plant


def _planted(*plants: Plant) -> Plant:
    """All of them, in turn."""

    def plant(place: Place) -> None:
        for each in plants:
            each(place)

    return plant


def _cloud(address: str) -> Plant:
    """One of several providers at this address, where nobody answers."""

    def plant(place: Place) -> None:
        transit = {"address": address, "key": "k", "token_variable": "T"}
        file = place.folder / "wrapping/near.keys"
        place.change(
            encryption={
                "providers": [
                    {"name": "near", "key_file": str(file)},
                    {"name": "far", "cloud_kms": {"transit": transit}},
                ]
            }
        )

    return plant


def _token(place: Place) -> None:
    """One of several providers, whose module is not there."""
    hsm = {"module": "/none.so", "token": "t", "key_label": "k", "pin_variable": "P"}
    place.change(encryption={"providers": [{"name": "near", "hsm": hsm}]})


def _break_glass(value: bytes) -> Plant:
    return lambda place: place.store("break_glass", value)


def _linked(**keys: object) -> Plant:
    return lambda place: place.change(control_plane={"enabled": True, **keys})


def _enrolled(place: Place) -> None:
    """Of a certificate of 24 h."""
    folder = place.run.data / "uplink"
    folder.mkdir(mode=0o755)
    shutil.copy(place.run.tls / "server.crt", folder / "agent.crt")
    shutil.copy(place.run.tls / "server.key", folder / "agent.key")
    (folder / "enrolment.json").write_text('{"endpoint": "https://127.0.0.1:1"}')
    if AS_ROOT:
        for path in (folder, *folder.iterdir()):
            os.chown(path, place.run.user.uid, place.run.user.gid)
    place.change(control_plane={"enabled": True})


def _enrolled_long_ago(place: Place) -> None:
    _enrolled(place)
    place.world.advance(400 * DAY // SECOND)


def _enrolment_torn(place: Place) -> None:
    _enrolled(place)
    (place.run.data / "uplink/agent.key").write_text("")


def _ceiling(place: Place) -> None:
    (place.folder / "ceiling.json").write_text("{")
    place.change(control_plane={"ceiling": "ceiling.json"})


def _stop_timeout(place: Place) -> None:
    (place.folder / "units").mkdir()
    unit = place.folder / "units/freehold-agent.service"
    unit.write_text("[Service]\nTimeoutStopSec=45\n")
    drop_in = place.folder / "units/freehold-agent.service.d"
    drop_in.mkdir()
    (drop_in / "override.conf").write_text("[Service]\nTimeoutStopSec=10\n")


def _pages(place: Place) -> None:
    place.change(server={"web": True})


def _machine(**other: object) -> Plant:
    return lambda place: place.on(**other)


PLANTED: dict[str, Plant] = {
    # settings
    "settings_invalid": _misspell,
    "settings_invalid (no file)": _remove_config,
    "settings_writable": _mode("vault.yaml", 0o666),
    "settings_readable": _open_config,
    "settings_unreadable": _mode("vault.yaml", 0o000),
    # files and folders
    "folder_is_file": _file_for_folder,
    "folder_missing": _no_right_to_make,
    "folder_not_writable": _mode("logs", 0o500),
    "folder_writable_by_all": _mode("logs", 0o777),
    "wrong_owner": _foreign,
    "file_not_private": _mode("data/vault.db", 0o644),
    "file_not_private (root key)": _mode("data-key/root.key", 0o640),
    "file_not_plain": _link_database,
    "secret_file_missing": _remove("backup.key"),
    "secret_file_not_private": _mode("backup.key", 0o604),
    "secret_file_unreadable": _mode("backup.key", 0o000),
    "key_beside_data": lambda place: place.change(encryption={"key_file": "data/root.key"}),
    "anchor_beside_data": lambda place: place.change(anchor={"file": "data/vault.anchor"}),
    # disks
    "disk_full": _disk(1 << 20),
    "disk_low": _disk(512 << 20),
    "disk_read_only": _read_only,
    "disk_in_memory": _mounted("tmpfs"),
    "disk_of_network": _mounted("nfs4"),
    "disk_without_barrier": _mounted("xfs", "nobarrier"),
    # certificate and address
    "certificate_missing": _remove("tls/server.crt"),
    "certificate_unreadable": _no_certificate,
    "certificate_unusable": _unusable_key,
    "certificate_other_key": _other_pair,
    "certificate_expired": _later(400 * DAY // SECOND),
    "certificate_expires": _later(380 * DAY // SECOND),
    "certificate_not_yet_valid": _tomorrow,
    "certificate_other_name": lambda place: setattr(place, "names", ("other.example.com",)),
    "certificate_key_not_private": _mode("tls/server.key", 0o604),
    "certificate_not_readable": _mode("tls/server.key", 0o000),
    "client_authority_unusable": _no_authorities,
    "address_not_here": _listen("192.0.2.1:8200"),
    "address_unknown": _listen("no-such-host.invalid:8200"),
    "port_not_allowed": _low_port,
    # database and vault
    "database_damaged": _damaged,
    "database_damaged (pages)": _torn,
    "database_unreachable": _unreachable,
    "schema_old": _schema("0003"),
    "schema_newer": _schema("0999"),
    "schema_unfinished": _schema("copying-0012"),
    "seal_damaged": _seal(b"{"),
    "not_initialized": _not_made_yet,
    "left_of_another_vault": _no_vault,
    "root_key_missing": _remove("data-key/root.key"),
    "root_key_damaged": _short_key,
    "key_management_changed": _people,
    "anchor_missing": _remove("data-anchor/vault.anchor"),
    "hsm_module_missing": _no_module,
    "hsm_module_missing (one of several)": _planted(_providers("near"), _token),
    "key_provider_not_wrapping": _providers("near"),
    "key_provider_behind": _providers("near", "far", is_behind=True),
    "key_provider_unreachable": _planted(_providers("near"), _cloud("http://127.0.0.1:1")),
    "key_provider_unreachable (a name that cannot be one)": _planted(
        _providers("near"), _cloud("https://a..b")
    ),
    "seal_mismatch": _providers("former"),
    "wrapping_keys_missing": _planted(_providers("near", "far"), _remove("wrapping/far.keys")),
    "secret_file_not_private (wrapping keys)": _planted(
        _providers("near", "far"), _mode("wrapping/far.keys", 0o604)
    ),
    "break_glass_missing": lambda place: place.query(
        "DELETE FROM system WHERE name = 'break_glass'"
    ),
    "break_glass_spent": _break_glass(break_glass(uses=1).encode()),
    "break_glass_damaged": _break_glass(b"{"),
    # audit log, backups, control plane
    "syslog_missing": lambda place: (
        place.on(syslog=place.folder / "none"),
        place.change(audit={"forward_to_syslog": True}),
    )[0],
    "audit_not_durable": lambda place: place.change(audit={"durability": "write"}),
    "no_backup": lambda place: place.change(backup={"enabled": False}),
    "backup_beside_data": _backup_here,
    "backup_not_writable": _backup_closed,
    "not_enrolled": _linked(),
    "control_plane_unreachable": _linked(endpoint="https://127.0.0.1:1", pin=f"sha256:{'A' * 43}"),
    "enrolment_expired": _enrolled_long_ago,
    "enrolment_damaged": _enrolment_torn,
    "ceiling_unusable": _ceiling,
    # the machine
    "clock_behind": _set_back,
    "clock_not_synchronized": _machine(is_synchronized=lambda: False),
    "few_open_files": _machine(open_files=lambda _: 1_024),
    "no_randomness": _machine(has_randomness=lambda: False),
    "little_memory": _machine(memory=lambda: 128 << 20),
    "no_process_handles": lambda place: (
        place.on(has_process_handles=lambda: False),
        place.change(server={"workers": 2}),
    )[0],
    "stop_timeout_short": _stop_timeout,
}
"""Code of the finding (and which case of it) → what plants it."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(place: Place, name: str) -> None:
    """By its code, with what is wrong and what to do."""
    PLANTED[name](place)
    code = name.partition(" ")[0]
    found = {each.code: each for each in place.findings()}
    assert code in found, sorted(found)
    assert found[code].problem
    assert found[code].remedy


def test_several_key_providers_that_are_in_order(place: Place) -> None:
    """Each has wrapped the root key: nothing is found."""
    _providers("near", "far")(place)
    assert place.findings() == ()


def test_a_vault_of_peoples_shares_needs_no_break_glass_set(place: Place) -> None:
    """Holders open it anyway."""
    _people(place)
    record = SealRecord(type="shamir", shares=5, threshold=3, org="local", vault="v", created_at=1)
    place.store("seal", record.encode())
    place.query("DELETE FROM system WHERE name = 'break_glass'")
    assert place.findings() == ()


def test_a_vault_that_is_to_move_to_another_seal(place: Place) -> None:
    """It has the former one until then: that is no fault."""
    _providers("near")(place)
    former = {"key_file": str(place.folder / "data-key/root.key")}
    place.change(encryption={"migrate_from": former})
    record = SealRecord(type="file", shares=1, threshold=1, org="local", vault="v", created_at=1)
    place.store("seal", record.encode())
    assert place.findings() == ()


def test_a_port_that_another_program_has(place: Place) -> None:
    """With the command that shows which."""
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        place.change(server={"listen": f"127.0.0.1:{other.getsockname()[1]}"})
        [found] = place.findings()
    assert found.code == "port_taken"
    assert "ss -tlnp" in found.remedy


def test_root_as_the_agents_user(place: Place) -> None:
    """It works, and a fault in the agent would be one of the machine."""
    place.on(user=place.machine.user._replace(uid=0))
    assert "runs_as_root" in place.codes()


def test_missing_pages(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of an installation from a clone that was never built."""
    monkeypatch.setattr("vault.installation.machine_checks.BUILT", tmp_path)
    _pages(place)
    assert place.codes() == {"pages_missing"}


def test_a_missing_library(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that was not installed, for a key provider or a destination."""
    monkeypatch.setattr("vault.installation.vault_checks.find_spec", lambda _: None)
    assert place.codes() == {"library_missing"}


def test_a_missing_library_of_a_login_method(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is named, before the first start, too; each for itself."""
    monkeypatch.setitem(METHOD_LIBRARIES, "ldap", ("no_such_module", "python-ldap"))
    assert place.findings() == ()
    place.change(authentication={"methods": ["token", "ldap"]})
    for checks in (CHECKS, FIRST_RUN):
        (found,) = examine(
            place.config, place.machine, names=place.names, environment={}, checks=checks
        )
        assert (found.code, "freehold[ldap]" in found.remedy) == ("library_missing", True)


def test_what_root_alone_may_see(place: Place) -> None:
    """A folder that is closed to whoever looks is said, and the rest is examined."""

    def denied(_: Path) -> Usage:
        raise PermissionError(13, "Permission denied", "/closed")

    place.on(usage=denied)
    assert place.codes() == {"not_examined"}


def test_nothing_is_changed(place: Place) -> None:
    """A look at an installation leaves every file as it was, and makes none."""

    def state() -> dict[str, tuple[float, int, int, int]]:
        return {
            str(path): (found.st_mtime, found.st_mode, found.st_uid, found.st_size)
            for path in sorted(place.folder.rglob("*"))
            for found in [path.lstat()]
        }

    before = state()
    place.findings()
    assert state() == before


def codes_of_the_program(root: Path) -> Iterator[str]:
    """Every code that a check may yield."""
    for file in (root / "vault/installation").glob("*.py"):
        yield from re.findall(r'(?:error|warning)\(\s*"([a-z_]+)"', file.read_text())


def test_the_guide_has_every_finding(root: Path) -> None:
    """With no other in its tables; and each one is planted somewhere here."""
    page = (root / "docs/guides/doctor.md").read_text()
    known = set(codes_of_the_program(root))
    assert set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE)) == known
    assert len(known) > 40
    here = (
        Path(__file__).read_text() + (root / "tests/contract/store/test_inspection.py").read_text()
    )
    assert {code for code in known if not re.search(rf'["`]{code}["` ]', here)} <= {
        "address_unusable", "root_key_unreadable", "client_authority_expired", "database_slow",
        "sealed",
    }  # fmt: skip
