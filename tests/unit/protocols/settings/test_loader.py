"""A settings file is strict, and the environment lies over it.

The agent's own file is tested in `tests/unit/vault/config/test_load.py`, by the same function.
"""

from pathlib import Path

import pytest
from pydantic import ValidationError

from protocols.settings.field_types import FilePath, Section
from protocols.settings.loader import MAX_BYTES, ConfigError, explain_option_errors, load_model


class Inner(Section):
    """A section."""

    file: FilePath | None = None
    count: int = 1


class Outer(Section):
    """A whole file."""

    inner: Inner = Inner()


def of(folder: Path, text: str, **environment: str) -> Outer:
    """What the file says, with this environment."""
    file = folder / "some.yaml"
    file.write_text(text)
    return load_model(Outer, file, "SOME_", environment)


def test_environment_lies_over_the_file(tmp_path: Path) -> None:
    """A variable with the prefix wins; one without it is somebody else's."""
    found = of(tmp_path, "inner: {count: 2}", SOME_INNER__COUNT="3", OTHER_INNER__COUNT="4")
    assert found.inner.count == 3


def test_paths_are_seen_from_the_folder_of_the_file(tmp_path: Path) -> None:
    """A relative path does not depend on where the process was started."""
    assert of(tmp_path, "inner: {file: a/b}").inner.file == tmp_path / "a" / "b"


@pytest.mark.parametrize(
    "text", ["iner: {}", "inner: {cuont: 1}", "inner: {count: 1, count: 2}", "[]", "inner: {"]
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    """Misspelt and repeated keys, and what is no mapping, name the file."""
    with pytest.raises(ConfigError, match=r"some\.yaml"):
        of(tmp_path, text)


def test_a_misspelt_variable_is_refused_by_its_name(tmp_path: Path) -> None:
    """The error names the variable, not its value."""
    with pytest.raises(ConfigError, match="SOME_INNER__CUONT") as caught:
        of(tmp_path, "{}", SOME_INNER__CUONT="canary")
    assert "canary" not in str(caught.value)


def test_a_file_is_bounded(tmp_path: Path) -> None:
    """Whoever names a disk image instead does not fill the memory with it."""
    with pytest.raises(ConfigError, match="right file"):
        of(tmp_path, "#" * (MAX_BYTES + 1))


def test_each_fault_is_one_of_its_own(tmp_path: Path) -> None:
    """For whoever shows a line for each; as text they are under one another."""
    with pytest.raises(ConfigError) as caught:
        of(tmp_path, "inner: {count: x, cuont: 2}")
    assert len(caught.value.faults) == 2
    assert str(caught.value) == "\n".join(caught.value.faults)


def test_an_option_is_told_once_by_its_name() -> None:
    """However many settings it makes; what is no option's is told with its key."""
    with pytest.raises(ValidationError) as caught:
        Inner.model_validate({"count": "x", "file": 7, "other": 1})
    told = explain_option_errors(
        caught.value, {"count": "--count", "file": "--count"}, "--all"
    ).faults
    assert [line.partition(": ")[0] for line in told] == ["--count", "--count", "--all"]
    assert told[2].startswith("--all: other: ")
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"inner": {"count": "x"}, "outer": {"count": "x"}})
    assert (
        len(explain_option_errors(caught.value, {"count": "-c", "outer": "-c"}, "-a").faults) == 2
    )
