"""vault.workers.carried: what an operation came to in another process is told as it was."""

import msgspec
import pytest

from tests.unit.vault.workers.test_desk import WRITTEN
from vault.errors import NotFoundError, TooLargeError, UnavailableError, VaultError
from vault.model.results import SecretValue, SecretWritten
from vault.store.interface import BackendError
from vault.workers.carried import carried_of, error_of, result_of, told_of
from vault.workers.wire import Told

FOUND = SecretValue(secret=WRITTEN.secret, version=WRITTEN.version, value=b'"v"')


def crossed(told: Told) -> Told:
    """As it is at the other end."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Told)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BackendError("store_full", "full", "unknown"), UnavailableError),
        (TooLargeError("value_too_large", "large", field="value"), TooLargeError),
        (NotFoundError("no_secret", "there is none"), NotFoundError),
    ],
)
def test_an_error_is_told_as_it_was(error: VaultError, kind: type[VaultError]) -> None:
    """With what a program reads of it, as the next of its kind that all know."""
    carried = carried_of(error)
    again = error_of(carried)
    assert type(again) is kind
    assert (again.args, again.details, again.status) == (error.args, error.details, error.status)
    with pytest.raises(kind, match=error.message):
        result_of(crossed(told_of(1, error)))


def test_what_was_found_or_written() -> None:
    """The value is there, also one that is none; nothing that is sealed is."""
    for end in (FOUND, msgspec.structs.replace(FOUND, value=None), WRITTEN):
        told = crossed(told_of(7, end))
        result = result_of(told)
        assert (told.id, type(result), result.secret) == (7, type(end), end.secret)
        version = result.version
        assert (version.box, version.wrapped_dek, version.mac, version.version) == (b"",) * 3 + (3,)
        if isinstance(end, SecretValue):
            assert isinstance(result, SecretValue)
            assert result.value == end.value


def test_nothing_sealed_crosses() -> None:
    """Neither the box nor its key: a worker has no use for them."""
    carried = carried_of(WRITTEN)
    assert isinstance(carried.written, SecretWritten)
    version = carried.written.version
    assert (version.box, version.wrapped_dek, version.version) == (b"", b"", 3)
