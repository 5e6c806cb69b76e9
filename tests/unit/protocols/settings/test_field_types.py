from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ValidationError

from protocols.settings.field_types import (
    Duration,
    FilePath,
    Section,
    Size,
    parse_size,
    unsupported_values,
)


class Sample(Section):
    """One key of each kind."""

    wait: Duration = 1
    room: Size = 1
    file: FilePath | None = None
    kind: Annotated[Literal["here"], unsupported_values(later="comes later")] = "here"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (512, 512),
        ("512", 512),
        ("512B", 512),
        ("100MB", 100_000_000),
        ("100 mb", 100_000_000),
        ("1.5GB", 1_500_000_000),
        ("64MiB", 64 << 20),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes_are_bytes(text: object, size: int) -> None:
    """MB is 10^6 and MiB is 2^20, as the standards have it."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 Mb/s", "1M", "1i", "ten", True, None, []])
def test_what_is_not_a_size_is_refused(text: object) -> None:
    """No unit is guessed."""
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_durations_are_nanoseconds() -> None:
    """Text as in the design's file, or a number of seconds."""
    assert Sample(wait="90d").wait == 90 * 86_400 * 10**9  # type: ignore[arg-type]  # parsed
    assert Sample(wait=30).wait == 30 * 10**9


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("wait", "soon", "is not a duration"),
        ("wait", True, "is not a duration"),
        ("wait", "0s", "greater than 0"),
        ("room", "0MB", "greater than 0"),
        ("file", "/", "not the path of a file"),
        ("kind", "later", "later comes later"),
        ("other", 1, "Extra inputs"),
    ],
)
def test_a_faulty_value_says_what_is_wrong(key: str, value: object, message: str) -> None:
    """Each kind has its own message."""
    with pytest.raises(ValidationError, match=message):
        Sample.model_validate({key: value})


def test_no_error_repeats_a_value() -> None:
    """A connection string has a password in it."""
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate({"wait": "hunter2", "kind": "hunter2", "hidden": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_relative_path_is_seen_from_the_files_folder(tmp_path: Path) -> None:
    """A service has no current folder to count on."""
    sample = Sample.model_validate({"file": "tls/server.crt"}, context={"folder": tmp_path})
    assert sample.file == tmp_path / "tls/server.crt"
    sample = Sample.model_validate({"file": "/etc/x"}, context={"folder": tmp_path})
    assert sample.file == Path("/etc/x")


def test_a_section_is_frozen() -> None:
    """What was handed down does not change under its reader."""
    with pytest.raises(ValidationError, match="frozen"):
        Sample().wait = 5
    assert issubclass(Section, BaseModel)
