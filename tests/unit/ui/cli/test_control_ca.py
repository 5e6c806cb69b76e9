import subprocess
from pathlib import Path

import pytest

from protocols.pki.ceremony import sign_intermediate
from protocols.pki.certificates import to_pem
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
    assert "Remove r1" in done.err
    assert done.json["pin"] == done.json["trusted"][0]
    assert cli("control", "ca", "get", "-o", "json").json == done.json
    assert cli("control", "ca", "init", "--root", "r2").code == 5
    assert cli("control", "ca", "get", "-d", "none").code == 3


def test_a_rollover_by_hand(cli: Run, folder: Path) -> None:
    """Too early is a conflict that says how long; --force is heard."""
    old = cli("control", "ca", "init", "--root", "r1", "-o", "json").json["pin"]
    words = ("control", "ca", "rollover")
    assert cli(*words, "start", "--old-root", "r1", "--new-root", "r2").code == 0
    early = cli(*words, "switch")
    assert (early.code, "25 h" in early.err) == (5, True)
    switched = cli(*words, "switch", "--force", "-o", "json").json
    assert (switched["phase"], old in switched["trusted"]) == ("switched", True)
    finished = cli(*words, "finish", "--force", "--yes", "-o", "json").json
    assert (finished["phase"], old in finished["trusted"]) == ("steady", False)


def test_a_root_of_ones_own(cli: Run, folder: Path) -> None:
    """Request out, certificate in; a file that does not fit is one line."""
    mine = make_pki("mine")
    request = cli("control", "ca", "intermediate", "request").out.encode()
    now = 1_800_000_000 * 10**9
    Path("signed.pem").write_bytes(to_pem([sign_intermediate(mine.root, request, now)]))
    Path("root.pem").write_bytes(to_pem([mine.root.certificate]))
    assert cli("control", "ca", "intermediate", "install", "root.pem", "root.pem").code == 1
    done = cli("control", "ca", "intermediate", "install", "signed.pem", "root.pem", "-o", "json")
    assert done.json["pin"] == pin_of(mine.root.certificate)


def test_another_year(cli: Run, folder: Path) -> None:
    """With the root's key brought back; without it, it says so."""
    cli("control", "ca", "init", "--root", "r1")
    assert cli("control", "ca", "intermediate", "renew", "--root", "r1").code == 0
    missing = cli("control", "ca", "intermediate", "renew", "--root", "r7")
    assert (missing.code, "r7" in missing.err) == (1, True)


EXTENSIONS = """basicConstraints=critical,CA:true,pathlen:{path}
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


def openssl(*words: str) -> None:
    """The user's own tool, for the user's own roots."""
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)


def own_root(name: str, *kind: str) -> None:
    """`name.pem` and `name.key`, as the documentation of OpenSSL makes them."""
    openssl("req", "-x509", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-days", "3650",
            "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip


def own_signature(request: str, root: str, out: str) -> None:
    """The intermediate that a root of ones own signs."""
    openssl("x509", "-req", "-in", request, "-CA", f"{root}.pem", "-CAkey", f"{root}.key",
            "-days", "365", "-extfile", "v3", "-out", out)  # fmt: skip


def test_from_one_root_of_ones_own_to_the_next(cli: Run, folder: Path) -> None:
    """By the commands of the specification; what is not certified is not announced."""
    for file, path in (("v3", 0), ("v3cross", 1)):
        Path(file).write_text(EXTENSIONS.format(path=path))
    own_root("old", "rsa:3072")
    own_root("new", "ec", "-pkeyopt", "ec_paramgen_curve:P-384")
    own_root("other", "ec", "-pkeyopt", "ec_paramgen_curve:P-384")
    Path("first.csr").write_text(cli("control", "ca", "intermediate", "request").out)
    own_signature("first.csr", "old", "first.pem")
    installed = cli(
        "control", "ca", "intermediate", "install", "first.pem", "old.pem", "-o", "json"
    )
    words = ("control", "ca", "rollover")
    assert cli(*words, "adopt", "first.pem", "new.pem", "--cross", "old.pem").code == 3
    Path("next.csr").write_text(cli(*words, "request").out)
    own_signature("next.csr", "new", "next.pem")
    for signer in ("old", "other"):
        openssl("x509", "-in", "new.pem", "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key",
                "-days", "365", "-extfile", "v3cross", "-out", f"by-{signer}.pem")  # fmt: skip
    openssl("x509", "-in", "new.pem", "-CA", "old.pem", "-CAkey", "old.key", "-days", "365",
            "-extfile", "v3", "-out", "too-short.pem")  # fmt: skip
    for wrong in ("by-other.pem", "new.pem", "old.pem", "too-short.pem"):
        assert cli(*words, "adopt", "next.pem", "new.pem", "--cross", wrong).code == 1, wrong
    assert cli(*words, "adopt", "next.pem", "new.pem").code == 64
    assert cli("control", "ca", "get", "-o", "json").json["phase"] == "steady"
    done = cli(*words, "adopt", "next.pem", "new.pem", "--cross", "by-old.pem", "-o", "json")
    assert (done.code, done.json["phase"], len(done.json["trusted"])) == (0, "announced", 2)
    assert done.json["pin"] == installed.json["pin"]
    switched = cli(*words, "switch", "--force", "-o", "json").json
    assert switched["pin"] != installed.json["pin"]
    assert cli(*words, "request").code == 5
    finished = cli(*words, "finish", "--force", "--yes", "-o", "json").json
    assert finished["trusted"] == [switched["pin"]]


def test_from_our_root_to_one_of_ones_own(cli: Run, folder: Path) -> None:
    """The key of ours is brought back once more, to certify the next; another's does not do."""
    Path("v3").write_text(EXTENSIONS.format(path=0))
    cli("control", "ca", "init", "--root", "r1")
    own_root("new", "rsa:3072")
    words = ("control", "ca", "rollover")
    Path("next.csr").write_text(cli(*words, "request").out)
    own_signature("next.csr", "new", "next.pem")
    cli("control", "ca", "init", "--root", "r9", "-d", "elsewhere")
    wrong = cli(*words, "adopt", "next.pem", "new.pem", "--old-root", "r9")
    assert (wrong.code, "not the root" in wrong.err) == (5, True)
    done = cli(*words, "adopt", "next.pem", "new.pem", "--old-root", "r1", "-o", "json")
    assert (done.code, done.json["phase"]) == (0, "announced")
    assert "Remove r1" in done.err
