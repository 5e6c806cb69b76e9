"""vault.config.workers: how many processes serve by themselves, and what is refused."""

import platform

import pytest
from pydantic import TypeAdapter, ValidationError

from vault.config import machine_limits
from vault.config.workers import AUTO, MAX_WORKERS, WorkerCount

MIB = 1 << 20


def workers(value: object = AUTO) -> int:
    """What becomes of it."""
    adapter: TypeAdapter[int] = TypeAdapter(WorkerCount)
    return adapter.validate_python(value)


def refusal(value: object) -> str:
    """What is said about it."""
    with pytest.raises(ValidationError) as caught:
        workers(value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores and 64 GiB, with all that several processes take."""
    monkeypatch.setattr(machine_limits, "cores", lambda: 8)
    monkeypatch.setattr(machine_limits, "memory", lambda: 64 << 30)
    monkeypatch.setattr(machine_limits, "has_process_handles", lambda: True)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize(("cores", "there"), [(1, 1), (2, 2), (3, 3), (4, 4), (64, 4)])
def test_as_many_as_cores(monkeypatch: pytest.MonkeyPatch, cores: int, there: int) -> None:
    """By themselves, up to what was measured; who says how many has so many."""
    monkeypatch.setattr(machine_limits, "cores", lambda: cores)
    assert workers() == there
    assert workers(8) == 8
    assert workers("8") == 8  # as from the environment


@pytest.mark.parametrize(("mib", "there"), [(100, 1), (512, 1), (1024, 2), (2047, 3), (4096, 4)])
def test_as_many_as_have_memory(monkeypatch: pytest.MonkeyPatch, mib: int, there: int) -> None:
    """A small container on a large machine is not filled by processes at rest."""
    monkeypatch.setattr(machine_limits, "memory", lambda: mib * MIB)
    assert workers() == there
    assert workers(8) == 8


def test_one_process_where_there_are_no_handles_of_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An old kernel, or a sandbox that forbids them: it still starts."""
    monkeypatch.setattr(machine_limits, "has_process_handles", lambda: False)
    assert workers() == 1
    assert workers(2) == 2  # who says how many has said so


def test_several_are_for_machines_that_keep_their_stores_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Elsewhere it is one by itself, and more are refused."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert workers() == workers(1) == 1
    assert "leave it at 1" in refusal(2)


@pytest.mark.parametrize("value", ["some", "AUTO", "", "-1", "1.5", None, 1.5, True, [2]])
def test_what_is_no_number_is_refused(value: object) -> None:
    """With what it may be; `yes` in YAML, too."""
    assert "is auto, or how many: 1 to 64" in refusal(value)


@pytest.mark.parametrize("value", [0, -1, MAX_WORKERS + 1, "0", "65"])
def test_a_number_has_its_bounds(value: object) -> None:
    """None of them is no server, and so many are no help."""
    assert "than or equal to" in refusal(value)
