"""vault.config.settings: storage on a database server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vault.config.settings import Settings

PASSWORD = "hunter2"
URL = "postgresql://ada@db.example/vault"
SERVER: Mapping[str, Any] = {"port": 8080, "tls": {"enabled": False}}


def settings(server: Mapping[str, Any] = SERVER, **storage: Any) -> Settings:
    """A file whose storage is this."""
    return Settings.model_validate(
        {
            "server": server,
            "storage": {"type": "postgresql", "connection_string": URL, **storage},
            "audit": {"log_file": "/data/audit.log"},
        }
    )


def refusal(**storage: Any) -> str:
    """What is said about it."""
    with pytest.raises(ValidationError) as caught:
        settings(**storage)
    said = str(caught.value)
    assert PASSWORD not in said
    return said


def test_server() -> None:
    """The address is read; whatever a machine keeps is beside its audit log."""
    found = settings()
    assert found.storage.server is not None
    assert found.storage.server.host == "db.example"
    assert found.storage.file is None
    assert found.data_folder == Path("/data")
    assert found.anchor_file.parent == Path("/data")


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ({"connection_string": f"mysql://ada:{PASSWORD}@h/v"}, "connection_string is not of"),
        ({"connection_string": f"postgresql://ada:{PASSWORD}@h/v?sslmode=disable"}, "storage.tls"),
        ({"connection_string": f"postgresql://ada:{PASSWORD}@h:x/v"}, "is not of the form"),
        ({"type": "oracle"}, "'sqlite', 'postgresql' or 'mysql'"),
        ({"tls": {"cert_file": __file__}}, "needs cert_file and key_file, or neither"),
        ({"tls": {"enabled": False}}, "storage.tls.enabled"),
        (
            {
                "connection_string": f"postgresql://ada:{PASSWORD}@h/v",
                "password_file": __file__,
            },
            "choose one",
        ),
        (
            {"type": "sqlite", "connection_string": "sqlite:////v.db", "password_file": __file__},
            "are for a database server",
        ),
        ({"max_connections": 0}, "greater than or equal to 1"),
        ({"replicas": ["mysql://ada@h/v"]}, "replicas: number 1 is not of the form postgresql:"),
        (
            {"replicas": [f"postgresql://ada:{PASSWORD}@h/v"], "password_file": __file__},
            "has a password in replicas: number 1 and password_file: choose one",
        ),
        ({"replicas": ["postgresql://eve@db.example:5432/vault"]}, "is the database itself"),
        ({"replicas": ["postgresql://ada@h/v"] * 2}, "number 2 is the database itself, or named"),
        ({"replicas": [f"postgresql://ada@h{n}/v" for n in range(9)]}, "at most 8 items"),
        (
            {"type": "sqlite", "connection_string": "sqlite:////v.db", "replicas": ["sqlite:///r"]},
            "replicas are of a database server",
        ),
    ],
)
def test_refused(storage: dict[str, Any], says: str) -> None:
    """By the name of the setting, and without the password. There is no way to switch TLS off."""
    assert says in refusal(**storage)


def test_an_audit_log() -> None:
    """It does not lie beside a database on a server."""
    with pytest.raises(ValidationError, match=r"audit\.log_file is required"):
        Settings.model_validate(
            {"server": SERVER, "storage": {"type": "postgresql", "connection_string": URL}}
        )


def test_replicas() -> None:
    """Each is an address of the same kind, with its own password if it has one."""
    urls = [
        "postgresql://ada@one.example/vault",
        f"postgresql://ada:{PASSWORD}@two.example:1/vault",
    ]
    found = settings(replicas=urls).storage.replica_servers
    assert [(at.host, at.port, at.password) for at in found] == [
        ("one.example", 5432, ""),
        ("two.example", 1, PASSWORD),
    ]
    assert settings().storage.replica_servers == ()


def test_repr() -> None:
    """Settings may be logged."""
    found = settings(
        connection_string=f"postgresql://ada:{PASSWORD}@db.example/vault",
        replicas=[f"postgresql://ada:{PASSWORD}@other.example/vault"],
    )
    for text in (repr(found), str(found), repr(found.storage.server), str(found.storage.server)):
        assert PASSWORD not in text
