"""Tests of what every route has in common: credential, verbs, refusals, errors."""

import pytest
from msgspec.structs import replace

from tests.unit.vault.edge.compat.conftest import Wire
from vault.edge.compat import dialect
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    InternalError,
    NotFoundError,
    RateLimitError,
    TooLargeError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.path import MAX_BYTES, is_short
from vault.model.results import KeyList
from vault.seal.manager import SealStatus

SEALED = SealStatus(type="shamir", initialized=True, sealed=True)


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ({"X-Vault-Token": "s.a"}, "s.a"),
        ({"X-Vault-Token": "", "Authorization": "Bearer s.b"}, "s.b"),
        ({"X-Vault-Token": "s.a", "Authorization": "Bearer s.b"}, "s.a"),
        ({"X-Vault-Token": "", "Authorization": "Basic x"}, None),
        ({"X-Vault-Token": ""}, None),
    ],
)
async def test_credentials(wire: Wire, headers: dict[str, str], credential: str | None) -> None:
    """Vault's own header first, then a bearer token (VaultSharp's default)."""
    wire.gate.answers["secret.keys"] = KeyList(keys=["a"])
    await wire.ask("LIST", "secret/metadata", headers=headers)
    assert wire.last.credential == credential


async def test_no_list(wire: Wire) -> None:
    """`list=false` is a read, and another word is refused."""
    wire.gate.answers["secret.metadata.read"] = NotFoundError("secret_not_found", "no")
    assert (await wire.ask("GET", "secret/metadata/x?list=false")).status == 404
    assert (await wire.ask("GET", "secret/metadata/x?list=maybe")).status == 400


@pytest.mark.parametrize(
    ("error", "status", "errors"),
    [
        (AuthenticationError("unauthenticated", "x"), 403, ["permission denied"]),
        (
            AuthorizationError("permission_denied", "permission denied"),
            403,
            ["1 error occurred:\n\t* permission denied\n\n"],
        ),
        (
            AuthorizationError("permission_denied", "native", capability="read", path="s/a"),
            403,
            ["1 error occurred:\n\t* permission denied\n\n"],
        ),
        (AuthorizationError("bad_token", "bad token"), 403, ["bad token"]),
        (NotFoundError("secret_not_found", "x"), 404, []),
        (ConflictError("cas_mismatch", "did not match"), 400, ["did not match"]),
        (ConflictError("changed_meanwhile", "again"), 412, ["again"]),
        (ValidationError("x", "wrong"), 400, ["wrong"]),
        (TooLargeError("x", "too large"), 413, ["too large"]),
        (UnavailableError("sealed", "Vault is sealed"), 503, ["Vault is sealed"]),
        (InternalError("internal", "see the log"), 500, ["see the log"]),
        (
            UnavailableError("store_full", "full", outcome="none"),
            503,
            ["full", "outcome: none; nothing was done, it can be repeated"],
        ),
        (
            UnavailableError("store_timeout", "late", outcome="unknown"),
            503,
            ["late", "outcome: unknown; it may be done or not, look before you repeat it"],
        ),
        (
            UnavailableError("outcome_unrecorded", "done", outcome="done"),
            503,
            ["done", "outcome: done; do not repeat it"],
        ),
    ],
)
async def test_errors(wire: Wire, error: VaultError, status: int, errors: list[str]) -> None:
    """Statuses and words as OpenBao has them; where it has no such case, what clients repeat."""
    wire.gate.answers["secret.read"] = error
    answer = await wire.ask("GET", "secret/data/x")
    assert (answer.status, answer.errors) == (status, errors)


async def test_too_many_requests(wire: Wire) -> None:
    """With when to come again."""
    wire.gate.answers["secret.read"] = RateLimitError("rate_limited", "slow", retry_after=3)
    answer = await wire.ask("GET", "secret/data/x")
    assert (answer.status, answer.headers[b"retry-after"]) == (429, b"3")


async def test_an_unexpected_error_tells_nothing(wire: Wire) -> None:
    """Its text could hold a secret."""
    wire.gate.answers["secret.read"] = RuntimeError("hunter2")
    answer = await wire.ask("GET", "secret/data/x")
    assert answer.status == 500
    assert b"hunter2" not in answer.body


async def test_unknown_paths_and_methods(wire: Wire) -> None:
    """404 and 405, in OpenBao's words."""
    assert (await wire.ask("GET", "sys/nothing")).errors == [
        "1 error occurred:\n\t* unsupported path\n\n"
    ]
    answer = await wire.ask("PATCH", "old/x", {})
    assert (answer.status, answer.errors) == (
        405, ["1 error occurred:\n\t* unsupported operation\n\n"],
    )  # fmt: skip


async def test_another_namespace_is_not_ours(wire: Wire) -> None:
    """Ignoring it would show one tenant's secrets to another."""
    answer = await wire.ask("GET", "secret/data/x", headers={"X-Vault-Namespace": "team"})
    assert (answer.status, answer.errors, wire.gate.asked) == (404, ["namespace not found"], [])
    wire.gate.answers["secret.read"] = NotFoundError("secret_not_found", "no")
    answer = await wire.ask("GET", "secret/data/x", headers={"X-Vault-Namespace": "root/"})
    assert answer.errors == []


async def test_a_bad_body(wire: Wire) -> None:
    """Not JSON, or no object."""
    for body in (b"{", b"[]", b"null", b'"x"'):
        assert (await wire.ask("POST", "secret/data/x", body)).status == 400


async def test_endpoints_for_the_metrics(wire: Wire) -> None:
    """Templates, never names of secrets."""
    wire.gate.answers["secret.read"] = NotFoundError("secret_not_found", "no")
    assert (await wire.ask("GET", "secret/data/app/db")).endpoint == "/v1/data/{path}"
    assert (await wire.ask("GET", "sys/nothing")).endpoint == "unmatched"


async def test_a_changed_mount_counts_for_the_next_request(wire: Wire) -> None:
    """A route that was found before is found anew once the mounts are others."""
    wire.gate.answers["secret.read"] = NotFoundError("secret_not_found", "no")
    wire.gate.answers["mount.preflight"] = NotFoundError("mount_not_found", "no")
    mount = wire.gate.book.get("secret/")
    assert mount is not None
    for _ in range(2):
        await wire.ask("GET", "secret/data/x")
        assert wire.last.path == "secret/x"
    wire.gate.book.replace([replace(mount, version=1)])
    await wire.ask("GET", "secret/data/x")
    assert wire.last.path == "secret/data/x"
    wire.gate.book.replace([])
    await wire.ask("GET", "secret/data/x")
    assert wire.last.name == "mount.preflight"
    wire.gate.state = SEALED
    assert (await wire.ask("GET", "secret/data/x")).status == 503


async def test_what_was_found_is_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that callers think of fill no memory; those in no mount and long ones are not kept."""
    monkeypatch.setattr(dialect, "MAX_REMEMBERED", 3)
    wire.gate.answers["secret.read"] = NotFoundError("secret_not_found", "no")
    wire.gate.answers["mount.preflight"] = NotFoundError("mount_not_found", "no")
    for number in range(10):
        await wire.ask("GET", f"secret/data/{number}/x")
        await wire.ask("GET", f"nowhere/{number}/x")
        await wire.ask("GET", f"secret/data/{number}/" + "x" * MAX_BYTES + "/x")
        assert 1 <= len(wire.compat._folder_routes) <= 3
        await wire.ask("GET", f"secret/data/{number}/" + "\N{GRINNING FACE}" * 20 + "/x")
        assert all(is_short(folder) for _, folder in wire.compat._folder_routes)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("verb", ["GET", "POST", "LIST", "DELETE", "PATCH"])
def test_a_folders_route_is_that_of_each_name(wire: Wire, version: int, verb: str) -> None:
    """Whatever the name is called, in both engines: what is remembered is what would be found."""
    mount = wire.gate.book.get("secret/")
    assert mount is not None
    book = wire.gate.book
    book.replace([replace(mount, version=version), replace(mount, path="a/b/", version=version)])
    parts = ["data", "metadata", "config", "delete", "subkeys", "detailed-metadata", "x"]
    folders = ["", "secret/", "a/", "a/b/", *(f"secret/{part}/" for part in parts)]
    folders += [f"a/b/{part}/{deeper}" for part in parts for deeper in ("x/", "data/", "x/config/")]
    remembered = 0
    for folder in folders:
        if below := wire.compat._find_folder_route(verb, folder):
            remembered += 1
            route, found, begin = below
            for name in parts:
                path = folder + name
                assert dialect._find_in_mount(book, verb, path) == (route, (found, path[begin:]))
    assert remembered or (verb, version) == ("PATCH", 1)  # which there is none of
