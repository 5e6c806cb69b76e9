import gzip
from pathlib import Path

import pytest

from ui.web.files import read_files


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """What a build looks like."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "control.html").write_text("<!doctype html>" + " " * 1000)
    (tmp_path / "assets" / "main-Ab3.js").write_text("let a = 1;\n" * 100)
    (tmp_path / "theme.js").write_text("1")
    (tmp_path / ".stamp").write_text("hash of the sources")
    return tmp_path


def test_files_are_known_by_their_path_on_the_server(built: Path) -> None:
    """What has no type of ours is not served: no stamp, no map of the sources."""
    (built / "assets" / "main-Ab3.js.map").write_text("{}")
    assert set(read_files(built)) == {"/control.html", "/assets/main-Ab3.js", "/theme.js"}


def test_a_folder_that_was_not_built_is_empty(tmp_path: Path) -> None:
    """Then there is no interface, and whoever serves it can say so."""
    assert read_files(tmp_path / "dist") == {}


def test_hashed_names_are_kept_for_good_and_the_page_never(built: Path) -> None:
    """The page names the assets of its version: an old one kept would ask for what is gone."""
    files = read_files(built)
    assert "immutable" in files["/assets/main-Ab3.js"].cache
    assert files["/control.html"].cache == "no-store"
    assert files["/theme.js"].cache == "public, max-age=300"


def test_packing_is_done_once_and_only_where_it_helps(built: Path) -> None:
    """The packed form is the same file; the same build gives the same bytes."""
    files = read_files(built)
    script = files["/assets/main-Ab3.js"]
    assert gzip.decompress(script.packed) == script.body
    assert len(script.packed) < len(script.body)
    assert files["/theme.js"].packed == b""
    assert read_files(built) == files
