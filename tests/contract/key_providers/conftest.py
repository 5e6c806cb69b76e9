"""Key providers of each kind, and of each algorithm of a token."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from actors import SystemWorld
from tests.support.aws_kms import AwsKms, aws_kms
from tests.support.cloud_servers import AzureKeyVault, GoogleKms, serving
from tests.support.key_providers import MemoryKeyProvider
from tests.support.softhsm import Token
from tests.support.tpm import Tpm, running_tpm
from tests.support.transit import KEY, Transit, transit
from vault.config.key_providers import HsmSettings
from vault.config.settings import EncryptionSettings
from vault.seal.root_keys.factory import make_key_providers, pkcs11_settings
from vault.seal.root_keys.process import PROGRAM, ProcessKeyProvider
from vault.seal.root_keys.provider import KeyProvider

VALUES = {"01": "11" * 32, "02": "22" * 32}
KEYS = [{"label": "root", "id": id_, "value": value} for id_, value in VALUES.items()]
RSA = [{"label": "pair", "id": id_, "rsa": True} for id_ in VALUES]
MakeProvider = Callable[..., ProcessKeyProvider]


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    """A token that the tests of a module share."""
    return Token(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture
async def make(token: Token) -> AsyncIterator[MakeProvider]:
    """Makes providers on the token; their processes end with the test."""
    made: list[ProcessKeyProvider] = []

    def provider(
        on: Token | None = None,
        *,
        timeout: float = 20.0,
        environment: Mapping[str, str] | None = None,
        program: tuple[str, ...] = PROGRAM,
        **settings: Any,
    ) -> ProcessKeyProvider:
        at = on or token
        hsm = HsmSettings.model_validate(at.section(**settings)["hsm"])
        found = ProcessKeyProvider(
            "hsm", "pkcs11", pkcs11_settings(hsm),
            environment={**at.environment, **(environment or {})},
            timeout=timeout, creates_keys=hsm.create_key, world=SystemWorld(), program=program,
        )  # fmt: skip
        made.append(found)
        return found

    yield provider
    for each in made:
        await each.aclose()


class Provided:
    """A provider whose key has two versions, the newest of which is named so.

    `forget` takes versions away; clouds have no way to.
    """

    def __init__(
        self,
        provider: KeyProvider,
        newest: str,
        forget: Callable[..., None] = lambda *_: None,
        *,
        binds_context: bool = True,
    ) -> None:
        self.provider = provider
        self.newest = newest
        self.forget = forget
        self.binds_context = binds_context


MakeCloud = Callable[..., ProcessKeyProvider]


@pytest.fixture
async def make_cloud() -> AsyncIterator[MakeCloud]:
    """Makes providers of a section `cloud_kms`, as the agent does; they end with the test."""
    made: list[ProcessKeyProvider] = []

    def provider(
        environment: Mapping[str, str] | None = None, **section: Any
    ) -> ProcessKeyProvider:
        settings = EncryptionSettings.model_validate(
            {"key_management": "cloud_kms", "cloud_kms": {"timeout": "20s", **section}}
        )
        (found,) = make_key_providers(settings, SystemWorld(), environment or {})
        made.append(found)
        return found

    yield provider
    for each in made:
        await each.aclose()


@pytest.fixture
async def make_named() -> AsyncIterator[MakeCloud]:
    """Makes one provider of the list `providers`, the same."""
    made: list[ProcessKeyProvider] = []

    def provider(**section: Any) -> ProcessKeyProvider:
        named = {"name": "own", **section}
        settings = EncryptionSettings.model_validate(
            {"key_management": "providers", "providers": [named]}
        )
        (found,) = make_key_providers(settings, SystemWorld(), {})
        made.append(found)
        return found

    yield provider
    for each in made:
        await each.aclose()


@pytest.fixture(scope="session")
def openbao() -> Iterator[Transit]:
    """A server for the tests of a worker; each has keys of its own."""
    with transit() as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsKms]:
    """The same, of AWS."""
    with aws_kms(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture(scope="session")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tpm]:
    """The same, of a TPM."""
    with running_tpm(tmp_path_factory.mktemp("tpm")) as made:
        yield made


FORGETFUL = ("memory", "static", "AES-GCM", "AES-KWP", "AES-KW", "RSA-OAEP-SHA1", "transit")
"""Kinds whose versions can be taken away."""
KINDS = (*FORGETFUL, "tpm", "aws", "gcp", "azure")


@pytest.fixture(params=KINDS)
async def provided(
    request: pytest.FixtureRequest,
    make: MakeProvider,
    make_cloud: MakeCloud,
    make_named: MakeCloud,
    tmp_path: Path,
) -> AsyncIterator[Provided]:
    """Of each kind; its key is the test's own."""
    with ExitStack() as stack:
        match request.param:
            case "memory":
                yield of_memory()
            case "static":
                yield await of_key_file(make_named, tmp_path)
            case "transit":
                openbao: Transit = request.getfixturevalue("openbao")
                yield of_transit(openbao, make_cloud, tmp_path)
            case "aws":
                moto: AwsKms = request.getfixturevalue("moto")
                moto.make_key("alias/suite")
                yield Provided(make_cloud(aws=moto.section("alias/suite")), "")
            case "gcp":
                google = GoogleKms(tmp_path, versions=2)
                variables = stack.enter_context(serving(google, tmp_path))
                yield Provided(make_cloud(variables, gcp=google.section), "2")
            case "azure":
                azure = AzureKeyVault(versions=2)
                variables = stack.enter_context(serving(azure, tmp_path))
                provider = make_cloud(variables, azure=azure.section)
                yield Provided(provider, f"{2:032x}", binds_context=False)
            case "tpm":
                tpm: Tpm = request.getfixturevalue("tpm")
                tpm.change_keys(*RSA)
                yield of_keys(tpm, make, "pair", None)
                tpm.change_keys(*({**key, "delete": True} for key in RSA))
            case algorithm:
                yield of_pkcs11(Token(tmp_path / "token"), make, algorithm)


def of_memory() -> Provided:
    """As the others."""
    memory = MemoryKeyProvider(2)
    return Provided(memory, "2", lambda *ids: [memory.keys.pop(str(int(i))) for i in ids])


async def of_key_file(make_named: MakeCloud, folder: Path) -> Provided:
    """A copy that was put back has fewer keys."""
    file = folder / "wrapping.keys"
    provider = make_named(key_file=str(file))
    for _ in range(2):
        await provider.create_version()
    first = file.read_bytes()[:32]

    def forget(version: str) -> None:
        file.unlink()
        if version == "02":
            file.touch(mode=0o600)
            file.write_bytes(first)

    return Provided(provider, "2", forget)


def of_transit(openbao: Transit, make_cloud: MakeCloud, folder: Path) -> Provided:
    """A key of the same name that has been made anew has fewer versions."""
    openbao.make_key()
    openbao.rotate()

    def forget(version: str) -> None:
        openbao.delete_key()
        if version == "02":
            openbao.make_key()

    section = openbao.section(folder, KEY, openbao.make_token("unseal"))
    return Provided(make_cloud(transit=section), "2", forget)


def of_pkcs11(own: Token, make: MakeProvider, algorithm: str) -> Provided:
    """On a token of its own."""
    is_rsa = algorithm.startswith("RSA")
    own.change_keys(*(RSA if is_rsa else KEYS))
    return of_keys(own, make, "pair" if is_rsa else "root", algorithm)


def of_keys(own: Token, make: MakeProvider, label: str, algorithm: str | None) -> Provided:
    """Those that are on a token under a label."""

    def forget(*ids: str) -> None:
        own.change_keys(*({"label": label, "id": id_, "delete": True} for id_ in ids))

    provider = make(own, key_label=label, algorithm=algorithm)
    return Provided(provider, "02", forget, binds_context=algorithm == "AES-GCM")
