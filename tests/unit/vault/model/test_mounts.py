"""The mount book: which mount a path lies in, replaced whole."""

from vault.model.mounts import MountTable
from vault.model.path import ResourcePath
from vault.model.records import MountRow


def mount(path: str) -> MountRow:
    """A mount at a path."""
    return MountRow(path=path, id=path, accessor=path, created_at=0)


BOOK = MountTable([mount("secret/"), mount("team/a/"), mount("kv/")])


def test_a_path_lies_in_the_mount_above_it() -> None:
    """Also deep below, and at no mount that only begins with the same letters."""
    assert BOOK.find_for_path("secret/x") == mount("secret/")
    assert BOOK.find_for_path("secret/x/y/z") == mount("secret/")
    assert BOOK.find_for_path("team/a/x") == mount("team/a/")
    for path in ("secret", "secrets/x", "team/b/x", "team/x", "x", ""):
        assert BOOK.find_for_path(path) is None


def test_exact_and_all() -> None:
    """`get` takes the exact path; `all` is in path order."""
    assert BOOK.get("kv/") == mount("kv/")
    assert BOOK.get("kv") is None
    assert [row.path for row in BOOK.list_mounts()] == ["kv/", "secret/", "team/a/"]


def test_what_could_not_coexist() -> None:
    """A folder above, at or below a mount overlaps it."""
    for path in ("team/", "team/a/", "team/a/b/"):
        assert BOOK.find_overlapping(ResourcePath.parse_folder(path)) == mount("team/a/")
    assert BOOK.find_overlapping(ResourcePath.parse_folder("other")) is None


def test_replaced_whole() -> None:
    """After `replace` only the new mounts are there."""
    book = MountTable([mount("old/")])
    book.replace([mount("new/")])
    assert book.find_for_path("old/x") is None
    assert book.find_for_path("new/x") == mount("new/")
