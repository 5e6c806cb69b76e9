"""A report is held against a key at the terminal, without a control plane."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control.compliance.report_file import Report, sign_report
from control.model.compliance import Header, TrailEnd
from control.services.delegated_authority import Delegations
from control.services.signed_heads import SignedHead, signed_bytes
from tests.unit.ui.cli.conftest import Run
from ui.cli import control


@pytest.fixture
def key() -> Ed25519PrivateKey:
    """Of a control plane."""
    return Ed25519PrivateKey.generate()


@pytest.fixture
def file(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    """A report with nothing in it."""
    public = key.public_key().public_bytes_raw()
    head = SignedHead("acme", 0, bytes(32), 1)
    end = TrailEnd(
        size=0, hash=head.hash.hex(), at=1, signature=key.sign(signed_bytes(head)).hex(),
        key=public.hex(),
    )  # fmt: skip
    header = Header(
        org="acme", id="r", title="T", since=1, until=2, made_at=3, made_by="a/b", frameworks={},
        counts={}, trail=end,
    )  # fmt: skip
    body, _ = sign_report(Report(header=header, evidence={}, controls=[]), key.sign, public)
    path = tmp_path / "report.json"
    path.write_bytes(body)
    return path


def test_a_whole_one_is_told_from_an_edited_one(
    cli: Run, file: Path, key: Ed25519PrivateKey
) -> None:
    """Exit 0 and 1, with where."""
    public = key.public_key().public_bytes_raw().hex()
    asked = ("control", "report", "verify", str(file), "--key", public)
    assert cli(*asked, "-o", "json").json["verdict"] == "whole"
    file.write_bytes(file.read_bytes().replace(b'"T"', b'"U"'))
    told = cli(*asked, "-o", "json")
    assert told.code == 1
    assert told.json["faults"] == ["header: it was edited"]


def test_what_is_no_key_or_no_file_is_told(cli: Run, file: Path) -> None:
    """In one line."""
    assert (
        "64 hexadecimal digits" in cli("control", "report", "verify", str(file), "--key", "x").err
    )
    missing = cli("control", "report", "verify", "/nowhere", "--key", "00" * 32)
    assert "cannot read" in missing.err


def test_what_a_recovered_account_set_up_is_told(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was withdrawn, what goes on, and where to look for the rest."""
    found = Delegations({"acme": ["invitation of m@b.example"]}, {"acme": ["channel ops (h)"]})
    monkeypatch.setattr(control, "run_offline", lambda *_: found)
    done = cli("control", "user", "recover", "acme", "ann", stdin="a long password")
    assert done.code == 0, done.err
    assert done.err.splitlines() == [
        "acme/ann signs in with the new password",
        "acme: withdrawn: invitation of m@b.example",
        "acme: still active: channel ops (h)",
        "review what is still active, and in the audit log what acme/ann did lately",
    ]
