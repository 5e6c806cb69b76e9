from pathlib import Path

import pytest

from protocols.pki.ceremony import sign_intermediate
from protocols.pki.certificates import pem
from protocols.pki.pin import pin_of
from tests.unit.protocols.pki.samples import make_pki
from tests.unit.ui.cli.conftest import Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_authority_from_nothing(cli: Run, folder: Path) -> None:
    """Its pin is what agents need; the root's key is to be taken away; a second one is refused."""
    done = cli("control", "ca", "init", "--root", "r1", "-o", "json")
    assert done.code == 0
    assert "Take r1 away" in done.err
    assert done.json["pin"] == done.json["trusted"][0]
    assert cli("control", "ca", "show", "-o", "json").json == done.json
    assert cli("control", "ca", "init", "--root", "r2").code == 5
    assert cli("control", "ca", "show", "-d", "none").code == 3


def test_a_rollover_by_hand(cli: Run, folder: Path) -> None:
    """Too early is a conflict that says how long; --force is heard."""
    old = cli("control", "ca", "init", "--root", "r1", "-o", "json").json["pin"]
    words = ("control", "ca", "rollover")
    assert cli(*words, "start", "--old-root", "r1", "--new-root", "r2").code == 0
    early = cli(*words, "switch")
    assert (early.code, "25 h" in early.err) == (5, True)
    switched = cli(*words, "switch", "--force", "-o", "json").json
    assert (switched["phase"], old in switched["trusted"]) == ("switched", True)
    finished = cli(*words, "finish", "--force", "-o", "json").json
    assert (finished["phase"], old in finished["trusted"]) == ("steady", False)


def test_a_root_of_ones_own(cli: Run, folder: Path) -> None:
    """Request out, certificate in; a file that does not fit is one line."""
    mine = make_pki("mine")
    request = cli("control", "ca", "intermediate-request").out.encode()
    now = 1_800_000_000 * 10**9
    Path("signed.pem").write_bytes(pem([sign_intermediate(mine.root, request, now)]))
    Path("root.pem").write_bytes(pem([mine.root.certificate]))
    assert cli("control", "ca", "intermediate-install", "root.pem", "root.pem").code == 1
    done = cli("control", "ca", "intermediate-install", "signed.pem", "root.pem", "-o", "json")
    assert done.json["pin"] == pin_of(mine.root.certificate)


def test_another_year(cli: Run, folder: Path) -> None:
    """With the root's key brought back; without it, it says so."""
    cli("control", "ca", "init", "--root", "r1")
    assert cli("control", "ca", "intermediate-renew", "--root", "r1").code == 0
    missing = cli("control", "ca", "intermediate-renew", "--root", "r7")
    assert (missing.code, "r7" in missing.err) == (1, True)
