"""Clouds and transit: what each refuses with, and what the agent says of it.

Backends run in this process here: that their library runs in a helper is shown by the suite.
"""

import importlib
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.contract.key_providers.conftest import MakeCloud
from tests.support.aws_kms import AwsKms
from tests.support.cloud_servers import (
    DESTROYED,
    DISABLED,
    AwsRefusals,
    AzureKeyVault,
    Cloud,
    GoogleKms,
    aws_error,
    azure_error,
    google_error,
    serving,
)
from tests.support.transit import Transit
from vault.seal.root_keys import aws_kms, azure_key_vault, google_kms, transit
from vault.seal.root_keys.helper import BACKENDS
from vault.seal.root_keys.provider import (
    KeyBackend,
    KeyProviderError,
    WrappedKey,
    wrap_context,
)

ROOT_KEY = bytes(range(32))
CONTEXT = wrap_context("org", "vault")
PATIENT, SOON = {"timeout": 20.0}, {"timeout": 4.0}
"""Seconds of a call: where it is answered, and where it waits for nothing."""
SECRET = "hunter2-of-the-answer"


def refusal(call: Callable[..., object], *arguments: object) -> str:
    """The code that it is refused with; the message says what to do, and nothing of the answer."""
    with pytest.raises(KeyProviderError) as caught:
        call(*arguments)
    assert ": " in caught.value.message
    assert SECRET not in caught.value.message
    return caught.value.code


@contextmanager
def at(
    cloud: Cloud,
    module: ModuleType,
    folder: Path,
    patch: pytest.MonkeyPatch,
    limit: Mapping[str, float] = PATIENT,
) -> Iterator[KeyBackend]:
    """A backend that speaks with a cloud."""
    section: dict[str, Any] = getattr(cloud, "section", {})
    with serving(cloud, folder) as variables:
        for name, value in variables.items():
            patch.setenv(name, value)
        with closing(module.open_backend({**section, **limit})) as opened:
            yield opened


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables of the machine, and back to them afterwards."""
    for name in (
        "GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_TIMEOUT", "AZURE_TOKEN_CREDENTIALS",
        "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "SSL_CERT_FILE",
    ):  # fmt: skip
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")


Use = Callable[[ModuleType, dict[str, Any]], KeyBackend]


@pytest.fixture
def use() -> Iterator[Use]:
    """Opens a module's backend with settings; it is closed after the test."""
    with ExitStack() as stack:

        def open_(module: ModuleType, settings: dict[str, Any]) -> KeyBackend:
            return stack.enter_context(closing(module.open_backend({**PATIENT, **settings})))

        yield open_


# Transit


def transit_settings(openbao: Transit, folder: Path, key: str, policy: str) -> dict[str, Any]:
    """With a token of this policy."""
    return openbao.section(folder, key, openbao.make_token(policy))


def allow(openbao: Transit, key: str) -> str:
    """The name of a policy for a key of this name."""
    rules = (
        f'path "transit/{path}" {{ capabilities = ["read", "update"] }}'
        for path in (f"keys/{key}", f"encrypt/{key}", f"decrypt/{key}")
    )
    openbao.call("POST", f"sys/policies/acl/{key}", {"policy": "\n".join(rules)})
    return key


def test_transit_keys_that_do_not_do(openbao: Transit, use: Use, tmp_path: Path) -> None:
    """Those that can be read, that have no associated data, that need a context of their own."""
    kinds = {
        "open": {"exportable": True},
        "saved": {"allow_plaintext_backup": True},
        "rsa": {"type": "rsa-2048"},
        "derived": {"derived": True},
    }
    codes = {}
    for name, settings in kinds.items():
        openbao.make_key(name, **settings)
        backend = use(transit, transit_settings(openbao, tmp_path, name, allow(openbao, name)))
        codes[name] = refusal(backend.wrap, ROOT_KEY, CONTEXT)
    assert codes == {
        "open": "key_provider_key_exportable",
        "saved": "key_provider_key_exportable",
        "rsa": "key_provider_unsupported",
        "derived": "key_provider_unsupported",
    }


def test_transit_versions_that_are_switched_off(openbao: Transit, use: Use, tmp_path: Path) -> None:
    """Come back, until they are trimmed. A key that is deleted softly comes back, too."""
    openbao.make_key("versions")
    backend = use(
        transit, transit_settings(openbao, tmp_path, "versions", allow(openbao, "versions"))
    )
    older = backend.wrap(ROOT_KEY, CONTEXT)
    openbao.rotate("versions")
    assert (older.version, backend.describe().version) == ("1", "2")
    openbao.configure("versions", min_decryption_version=2)
    assert refusal(backend.unwrap, older, CONTEXT) == "key_provider_key_disabled"
    openbao.configure("versions", min_decryption_version=1)
    assert backend.unwrap(older, CONTEXT) == ROOT_KEY
    newer = backend.wrap(ROOT_KEY, CONTEXT)
    openbao.configure("versions", min_decryption_version=2, min_encryption_version=2)
    openbao.call("POST", "transit/keys/versions/trim", {"min_available_version": 2})
    assert refusal(backend.unwrap, older, CONTEXT) == "key_provider_version_missing"
    openbao.call("DELETE", "transit/keys/versions/soft-delete")
    for call in (backend.describe, lambda: backend.unwrap(newer, CONTEXT)):
        assert refusal(call) == "key_provider_key_disabled"
    openbao.call("POST", "transit/keys/versions/soft-delete-restore")
    assert backend.unwrap(newer, CONTEXT) == ROOT_KEY


def test_transit_that_refuses(openbao: Transit, use: Use, tmp_path: Path) -> None:
    """A token without rights or of nobody, a key that is not there, a sealed server."""
    openbao.make_key("mine")
    openbao.make_key("other")
    policy = allow(openbao, "mine")
    assert refusal(use(transit, transit_settings(openbao, tmp_path, "other", policy)).describe) == (
        "key_provider_denied"
    )
    section = openbao.section(tmp_path, "mine", "s.of-nobody")
    assert refusal(use(transit, section).describe) == "key_provider_denied"
    root = use(transit, transit_settings(openbao, tmp_path, "none", "root"))
    assert refusal(root.wrap, ROOT_KEY, CONTEXT) == "key_provider_key_missing"
    assert refusal(root.describe) == "key_provider_key_missing"  # nor did the first call make it
    backend = use(transit, transit_settings(openbao, tmp_path, "mine", policy))
    wrapped = backend.wrap(ROOT_KEY, CONTEXT)
    for name in ("../../sys/seal", "mine/../other", "", ".."):
        moved = WrappedKey(key=name, algorithm=wrapped.algorithm, ciphertext=wrapped.ciphertext)
        assert refusal(backend.unwrap, moved, CONTEXT) == "key_provider_key_missing"
    openbao.call("POST", "sys/seal")
    assert refusal(backend.unwrap, wrapped, CONTEXT) == "key_provider_unreachable"
    openbao.call("POST", "sys/unseal", {"key": openbao.unseal_key})
    assert backend.unwrap(wrapped, CONTEXT) == ROOT_KEY


def test_a_transit_token_is_renewed_in_the_second_half_of_its_life(
    openbao: Transit, use: Use, tmp_path: Path
) -> None:
    """By each look at the key, and by each use: an open agent unwraps once a minute."""
    openbao.make_key("long")
    token = openbao.make_token(allow(openbao, "long"), ttl="1h")

    def seconds_left() -> int:
        told = openbao.call("POST", "auth/token/lookup", {"token": token})
        left: int = told["data"]["ttl"]
        return left

    backend = use(transit, openbao.section(tmp_path, "long", token))
    wrapped = backend.wrap(ROOT_KEY, CONTEXT)
    for call in (backend.describe, lambda: backend.unwrap(wrapped, CONTEXT)):
        openbao.call("POST", "auth/token/renew", {"token": token, "increment": "100s"})
        assert seconds_left() <= 100
        call()
        assert seconds_left() > 3000


# AWS


def test_aws_keys_and_users_that_do_not_do(moto: AwsKms, use: Use) -> None:
    """Disabled, about to be deleted, of another kind; and users without rights."""
    off, going = moto.make_key("alias/off"), moto.make_key("alias/going")
    signing = moto.make_key("alias/rsa", KeySpec="RSA_2048")
    moto.disable(off)
    moto.schedule_deletion(going)

    def code(key: str, user: str = "agent") -> str:
        backend = use(aws_kms, moto.section(key, user))
        return refusal(backend.wrap, ROOT_KEY, CONTEXT)

    assert code("alias/off") == code(going) == "key_provider_key_disabled"
    assert code(signing) == "key_provider_unsupported"
    assert code("alias/none") == "key_provider_key_missing"
    assert code("alias/off", "stranger") == "key_provider_denied"
    assert code("alias/off", "nobody") == "key_provider_denied"  # there is no such file


def test_an_aws_alias_goes_to_another_key(moto: AwsKms, use: Use) -> None:
    """Which wraps from then on; the former one opens what it has wrapped."""
    first = moto.make_key("alias/moving")
    backend = use(aws_kms, moto.section("alias/moving"))
    before = backend.wrap(ROOT_KEY, CONTEXT)
    second = moto.make_key("alias/moving")
    after = backend.wrap(ROOT_KEY, CONTEXT)
    assert (before.key, after.key) == (first, second)
    assert backend.unwrap(before, CONTEXT) == backend.unwrap(after, CONTEXT) == ROOT_KEY


async def test_credentials_that_are_replaced_are_found(
    moto: AwsKms, make_cloud: MakeCloud, tmp_path: Path
) -> None:
    """Without a restart: after a refusal the library looks for them anew."""
    moto.make_key("alias/replaced")
    file = tmp_path / "credentials"
    section = moto.section("alias/replaced") | {"credentials_file": str(file)}
    file.write_text(moto.credentials("stranger"))
    provider = make_cloud(aws=section)
    with pytest.raises(KeyProviderError) as caught:
        await provider.describe()
    assert caught.value.code == "key_provider_denied"
    helper = provider.pid
    file.write_text(moto.credentials("agent"))
    await provider.describe()
    assert provider.pid == helper is not None


AWS_CODES = {
    "AccessDeniedException": "key_provider_denied",
    "ExpiredTokenException": "key_provider_denied",
    "UnrecognizedClientException": "key_provider_denied",
    "DisabledException": "key_provider_key_disabled",
    "KMSInvalidStateException": "key_provider_key_disabled",
    "IncorrectKeyException": "key_provider_wrong_key",
    "InvalidCiphertextException": "key_provider_wrong_key",
    "NotFoundException": "key_provider_key_missing",
    "InvalidKeyUsageException": "key_provider_unsupported",
    "LimitExceededException": "key_provider_failed",
}
UNAVAILABLE = {
    "DependencyTimeoutException": 503,
    "KMSInternalException": 500,
    "KeyUnavailableException": 500,
    "ThrottlingException": 400,
}


def test_what_aws_refuses_with(use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error of Decrypt in AWS's reference, and those that all calls have in common."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    cloud = AwsRefusals()
    arn = "arn:aws:kms:eu-west-1:111122223333:key/1"
    wrapped = WrappedKey(key=arn, algorithm=aws_kms.ALGORITHM, ciphertext=b"c")
    with serving(cloud, tmp_path) as variables:
        backend = use(aws_kms, {"key": arn, "endpoint": variables["HTTPS_PROXY"]})
        for name, code in AWS_CODES.items():
            cloud.refusal = aws_error(name)
            assert (name, refusal(backend.unwrap, wrapped, CONTEXT)) == (name, code)
        for name, status in UNAVAILABLE.items():
            cloud.refusal = aws_error(name, status)
            code = "key_provider_unreachable"
            assert (name, refusal(backend.unwrap, wrapped, CONTEXT)) == (name, code)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    unknown = use(aws_kms, {"key": arn})
    assert refusal(unknown.describe) == "key_provider_denied"
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    nowhere = use(aws_kms, {"key": "alias/root"})
    assert refusal(nowhere.describe) == "key_provider_unreachable"


# Google


def test_google_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones unwrap while they are enabled; without a primary one nothing is wrapped."""
    cloud = GoogleKms(tmp_path)
    with at(cloud, google_kms, tmp_path, monkeypatch) as backend:
        older = backend.wrap(ROOT_KEY, CONTEXT)
        cloud.add_version()
        assert (older.version, backend.describe().version) == ("1", "2")
        assert backend.unwrap(older, CONTEXT) == ROOT_KEY
        cloud.set_state(1, DISABLED)
        assert refusal(backend.unwrap, older, CONTEXT) == "key_provider_key_disabled"
        cloud.set_state(1, DESTROYED)
        assert refusal(backend.unwrap, older, CONTEXT) == "key_provider_version_missing"
        cloud.set_state(2, DISABLED)
        assert refusal(backend.wrap, ROOT_KEY, CONTEXT) == "key_provider_key_disabled"
        cloud.purpose = 5  # ASYMMETRIC_SIGN
        assert refusal(backend.describe) == "key_provider_unsupported"


def test_what_google_refuses_with(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statuses of AIP-193; and a service account that nobody knows."""
    cloud = GoogleKms(tmp_path)
    with at(cloud, google_kms, tmp_path, monkeypatch, SOON) as backend:
        wrapped = backend.wrap(ROOT_KEY, CONTEXT)
        for code, status, told in (
            (403, "PERMISSION_DENIED", "key_provider_denied"),
            (404, "NOT_FOUND", "key_provider_key_missing"),
            (400, "INVALID_ARGUMENT", "key_provider_wrong_key"),
            (409, "ABORTED", "key_provider_failed"),
            (429, "RESOURCE_EXHAUSTED", "key_provider_unreachable"),
            (503, "UNAVAILABLE", "key_provider_unreachable"),
            (504, "DEADLINE_EXCEEDED", "key_provider_timeout"),
        ):
            cloud.refusal = google_error(code, status, SECRET)
            assert (status, refusal(backend.unwrap, wrapped, CONTEXT)) == (status, told)
    cloud.refusal = None
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    cloud.credentials_file = GoogleKms(stranger).credentials_file
    with at(cloud, google_kms, tmp_path, monkeypatch) as backend:
        assert refusal(backend.describe) == "key_provider_denied"
    missing = use(google_kms, {**cloud.section, "credentials_file": "/nowhere"})
    assert refusal(missing.describe) == "key_provider_denied"


# Azure


def test_azure_keys_that_do_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disabled key, one that can be released, one of another kind; old versions unwrap."""
    cloud = AzureKeyVault()
    with at(cloud, azure_key_vault, tmp_path, monkeypatch) as backend:
        older = backend.wrap(ROOT_KEY, CONTEXT)
        cloud.add_version()
        assert backend.describe().version != older.version
        assert backend.unwrap(older, CONTEXT) == ROOT_KEY
        cloud.attributes = {"enabled": False}
        assert refusal(backend.wrap, ROOT_KEY, CONTEXT) == "key_provider_key_disabled"
        assert refusal(backend.unwrap, older, CONTEXT) == "key_provider_key_disabled"
        cloud.attributes = {"enabled": True, "exportable": True}
        assert refusal(backend.wrap, ROOT_KEY, CONTEXT) == "key_provider_key_exportable"
        cloud.attributes, cloud.kind = {"enabled": True}, "EC"
        assert refusal(backend.wrap, ROOT_KEY, CONTEXT) == "key_provider_unsupported"
        cloud.kind = "RSA"
        cloud.versions.popitem()
        cloud.versions.popitem()
        assert refusal(backend.unwrap, older, CONTEXT) == "key_provider_key_missing"


def test_what_azure_refuses_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statuses of Key Vault's REST reference; and a machine without an identity."""
    cloud = AzureKeyVault()
    with at(cloud, azure_key_vault, tmp_path, monkeypatch) as backend:
        for status, code, inner, told in (
            (403, "Forbidden", "ForbiddenByRbac", "key_provider_denied"),
            (403, "Forbidden", "ForbiddenByFirewall", "key_provider_denied"),
            (403, "Forbidden", "KeyDisabled", "key_provider_key_disabled"),
            (404, "KeyNotFound", "", "key_provider_key_missing"),
            (400, "BadParameter", "", "key_provider_wrong_key"),
            (409, "Conflict", "", "key_provider_failed"),
            (429, "Throttled", "", "key_provider_unreachable"),
            (503, "ServiceUnavailable", "", "key_provider_unreachable"),
        ):
            cloud.refusal = azure_error(code, inner, status)
            assert (code, refusal(backend.describe)) == (code, told)
    monkeypatch.setattr(AzureKeyVault, "identity", "another")
    monkeypatch.setenv("IDENTITY_HEADER", "mine")
    with at(cloud, azure_key_vault, tmp_path, monkeypatch) as backend:
        monkeypatch.setenv("IDENTITY_HEADER", "mine")
        assert refusal(backend.describe) == "key_provider_denied"


# All of them


def everywhere(address: str, folder: Path) -> Iterator[tuple[ModuleType, dict[str, Any]]]:
    """Each backend's module, and settings with an address that is no cloud's."""
    yield transit, {"address": address, "key": "root", "token_variable": "TRANSIT_TOKEN"}
    yield aws_kms, {"key": "alias/root", "region": "eu-west-1", "endpoint": address}
    yield google_kms, GoogleKms(folder).section
    yield azure_key_vault, AzureKeyVault.section


@pytest.mark.parametrize(
    ("answers", "code"),
    [(False, "key_provider_unreachable"), (True, "key_provider_timeout")],
    ids=["refuses", "is silent"],
)
def test_a_network_that_does_not_lead_there(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool, code: str
) -> None:
    """A connection that is refused, and one that nobody answers: told apart, and soon."""
    with serving(AzureKeyVault(), tmp_path) as variables, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if answers:
            listener.listen(64)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for name, value in (
            *variables.items(), ("HTTPS_PROXY", address), ("TRANSIT_TOKEN", "s.token"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", SECRET),
        ):  # fmt: skip
            monkeypatch.setenv(name, value)
        for module, settings in everywhere(address, tmp_path):
            assert (module, refusal(use(module, settings | SOON).describe)) == (module, code)


@pytest.mark.parametrize(
    ("type_", "library", "extra"),
    [
        ("awskms", "botocore", "aws"),
        ("gcpckms", "google.auth", "gcp"),
        ("azurekeyvault", "azure.identity", "azure"),
    ],
)
def test_a_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, type_: str, library: str, extra: str
) -> None:
    """The message says how to install it."""
    monkeypatch.delitem(sys.modules, BACKENDS[type_])
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(KeyProviderError) as caught:
        importlib.import_module(BACKENDS[type_])
    assert caught.value.code == "key_provider_unsupported"
    assert f"freehold[{extra}]" in caught.value.message


def test_the_agent_makes_no_keys_there(use: Use, tmp_path: Path) -> None:
    """Clouds rotate by schedule; the message says how."""
    for module, settings in everywhere("http://127.0.0.1:9", tmp_path):
        assert refusal(use(module, settings).create_version) == "key_provider_unsupported"
