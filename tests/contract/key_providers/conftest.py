"""Key providers of each kind, and of each algorithm of a token."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from actors import SystemWorld
from tests.support.key_providers import MemoryKeyProvider
from tests.support.softhsm import Token
from vault.config.key_providers import HsmSettings
from vault.seal.root_keys.factory import pkcs11_settings
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
    """A provider whose key has two versions, and how to take versions away."""

    def __init__(
        self, provider: KeyProvider, forget: Callable[..., None], *, binds_context: bool
    ) -> None:
        self.provider = provider
        self.forget = forget
        self.binds_context = binds_context


@pytest.fixture(params=["memory", "AES-GCM", "AES-KWP", "AES-KW", "RSA-OAEP-SHA1"])
async def provided(request: pytest.FixtureRequest, make: MakeProvider, tmp_path: Path) -> Provided:
    """Of each kind; each on a token of its own."""
    if request.param == "memory":
        memory = MemoryKeyProvider(2)
        return Provided(
            memory, lambda *ids: [memory.keys.pop(str(int(i))) for i in ids], binds_context=True
        )
    own, is_rsa = Token(tmp_path / "token"), request.param.startswith("RSA")
    own.change_keys(*(RSA if is_rsa else KEYS))
    label = "pair" if is_rsa else "root"

    def forget(*ids: str) -> None:
        own.change_keys(*({"label": label, "id": id_, "delete": True} for id_ in ids))

    provider = make(own, key_label=label, algorithm=request.param)
    return Provided(provider, forget, binds_context=request.param == "AES-GCM")
