"""`bao operator generate-root` and `rekey`, and what hvac has for both: they need no other server.

OpenBao's own refuses the first without a token and the second altogether unless it is told not to;
so these are told to Freehold alone, with the words that the clients print.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest

from tests.acceptance.agent import Form
from tests.acceptance.compat.servers import BAO, Server, freehold_new


class Vault:
    """Open: two of three shares, and the root token."""

    def __init__(self, server: Server, home: Path) -> None:
        self.address, self.home = server.address, home
        self.client = hvac.Client(url=server.address)
        made = self.client.sys.initialize(secret_shares=3, secret_threshold=2)
        self.shares: list[str] = made["keys_base64"]
        self.client.sys.submit_unseal_keys(self.shares[:2])
        self.root: str = made["root_token"]

    def bao(self, *words: str, token: str = "") -> Any:
        """What `bao operator` answers."""
        done = subprocess.run(
            [BAO, "operator", words[0], "-format=json", *words[1:]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={
                "PATH": os.environ["PATH"], "HOME": str(self.home),
                "BAO_ADDR": self.address, "BAO_TOKEN": token,
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout.strip()

    def is_root(self, token: str) -> bool:
        """Whether it is a root token."""
        found = hvac.Client(url=self.address, token=token).auth.token.lookup_self()
        return bool(found["data"]["policies"] == ["root"])

    def unseals_with(self, shares: list[str]) -> bool:
        """Seal, and open with these."""
        self.client.token = self.root
        self.client.sys.seal()
        self.client.sys.submit_unseal_keys(shares)
        return not self.client.sys.is_sealed()


@pytest.fixture
def vault(tmp_path: Path, form: Form) -> Iterator[Vault]:
    """A new one."""
    with freehold_new(tmp_path, form) as server:
        yield Vault(server, tmp_path)


def test_bao_makes_a_root_token_without_one(vault: Vault) -> None:
    """From the start to the decoding of what the last share has brought."""
    assert vault.bao("generate-root", "-status")["started"] is False
    begun = vault.bao("generate-root", "-init")
    nonce = begun["nonce"]
    assert (begun["started"], begun["progress"], begun["required"]) == (True, 0, 2)
    assert vault.bao("generate-root", f"-nonce={nonce}", vault.shares[0])["progress"] == 1
    assert vault.bao("generate-root", "-status")["progress"] == 1
    vault.bao("generate-root", "-cancel")
    otp = vault.bao("generate-root", "-generate-otp")
    begun = vault.bao("generate-root", "-init", f"-otp={_text(otp, 'otp')}")
    for share in vault.shares[1:]:
        done = vault.bao("generate-root", f"-nonce={begun['nonce']}", share)
    assert done["complete"] is True
    words = (f"-decode={done['encoded_token']}", f"-otp={_text(otp, 'otp')}")
    assert vault.is_root(_text(vault.bao("generate-root", *words), "token"))


def _text(found: Any, name: str) -> str:
    """The client prints some results bare."""
    return str(found[name] if isinstance(found, dict) else found)


@pytest.mark.parametrize("verify", [False, True])
def test_bao_replaces_the_shares(vault: Vault, verify: bool) -> None:
    """With and without the proof that the new ones have arrived."""
    root = {"token": vault.root}
    assert vault.bao("rekey", "-status", **root)["started"] is False
    more = ("-verify",) if verify else ()
    words = ("-init", "-key-shares=4", "-key-threshold=3", *more)
    nonce = vault.bao("rekey", *words, **root)["nonce"]
    vault.bao("rekey", "-cancel", **root)
    nonce = vault.bao("rekey", *words, **root)["nonce"]
    assert vault.bao("rekey", f"-nonce={nonce}", vault.shares[0], **root)["progress"] == 1
    done = vault.bao("rekey", f"-nonce={nonce}", vault.shares[1], **root)
    new = done["keys_base64"]
    assert len(new) == 4
    if verify:
        proof = f"-nonce={done['verification_nonce']}"
        assert vault.bao("rekey", "-verify", "-status", **root)["progress"] == 0
        for share in new[:3]:
            vault.bao("rekey", "-verify", proof, share, **root)
    assert vault.unseals_with(new[1:])


def test_hvac_makes_a_root_token(vault: Vault) -> None:
    """By the names that it has for it."""
    system = vault.client.sys
    assert system.read_root_generation_progress()["started"] is False
    begun = system.start_root_token_generation()
    for share in vault.shares[:2]:
        done = system.generate_root(key=share, nonce=begun["nonce"])
    words = (f"-decode={done['encoded_root_token']}", f"-otp={begun['otp']}")
    assert vault.is_root(_text(vault.bao("generate-root", *words), "token"))
    system.start_root_token_generation()
    system.cancel_root_generation()
    assert system.read_root_generation_progress()["started"] is False


def test_hvac_replaces_the_shares(vault: Vault) -> None:
    """At once, and with the proof."""
    vault.client.token, system = vault.root, vault.client.sys
    begun = system.start_rekey(secret_shares=2, secret_threshold=2)
    assert system.read_rekey_progress()["nonce"] == begun["nonce"]
    new = system.rekey_multi(vault.shares[:2], nonce=begun["nonce"])["keys_base64"]
    assert vault.unseals_with(new)
    vault.client.token = vault.root
    begun = system.start_rekey(secret_shares=3, secret_threshold=2, require_verification=True)
    done = system.rekey_multi(new, nonce=begun["nonce"])
    assert system.read_rekey_verify_progress()["progress"] == 0
    newest = done["keys_base64"]
    told = system.rekey_verify_multi(newest[:2], nonce=done["verification_nonce"])
    assert told["complete"] is True
    system.start_rekey(secret_shares=2, secret_threshold=2)
    system.cancel_rekey()
    assert vault.unseals_with(newest[1:])
