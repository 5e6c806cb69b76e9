"""PKCS#11: a helper process that crashes, hangs and is killed, and a token that refuses."""

import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from tests.contract.key_providers.conftest import KEYS, MakeProvider
from tests.support.softhsm import PIN, Token
from vault.seal.root_keys.process import ProcessKeyProvider
from vault.seal.root_keys.provider import KeyProviderError, wrap_context

ROOT_KEY = bytes(range(32))
CONTEXT = wrap_context("org", "vault")
DYING = (sys.executable, "-P", str(Path(__file__).with_name("dying_helper.py")))
STEPS = ("start", "before _open", "after _open", "before _find_newest", "after _find_newest",
         "before _wrap", "after _wrap", "before _unwrap", "after _unwrap")  # fmt: skip


async def refusal(provider: ProcessKeyProvider) -> str:
    """The code that a look at the key is refused with."""
    with pytest.raises(KeyProviderError) as caught:
        await provider.describe()
    assert PIN not in caught.value.message
    return caught.value.code


def process_file(pid: int, name: str) -> Path:
    """What the kernel says of a process."""
    return Path(f"/proc/{pid}/{name}")


def helper(provider: ProcessKeyProvider) -> int:
    """The pid of the process that there is."""
    assert provider.pid is not None
    return provider.pid


@pytest.mark.parametrize("step", STEPS)
async def test_a_helper_that_is_killed_at_any_step_loses_nothing(
    token: Token, make: MakeProvider, tmp_path: Path, step: str
) -> None:
    """The call is made once more, by another process, and the token is as it was."""
    label = f"step {step}"
    token.change_keys({**KEYS[0], "label": label})
    provider = make(
        program=DYING,
        key_label=label,
        environment={"DIE_AT": step, "DIED": str(tmp_path / "died"), "PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )
    wrapped = await provider.wrap(ROOT_KEY, CONTEXT)
    assert await provider.unwrap(wrapped, CONTEXT) == ROOT_KEY
    assert (tmp_path / "died").exists()
    assert await make(key_label=label).unwrap(wrapped, CONTEXT) == ROOT_KEY


@pytest.mark.parametrize("step", ["before generate", "after generate"])
async def test_a_key_that_was_perhaps_made_is_not_made_twice(
    token: Token, make: MakeProvider, tmp_path: Path, step: str
) -> None:
    """Whoever asks for it is told, and asks again; what is there then works."""
    provider = make(
        program=DYING,
        key_label=f"new {step}",
        create_key=True,
        environment={"DIE_AT": step, "DIED": str(tmp_path / "died"), "PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )
    with pytest.raises(KeyProviderError) as caught:
        await provider.create_version()
    assert caught.value.code == "key_provider_unreachable"
    made = await provider.create_version()
    assert made.version == ("02" if step.startswith("after") else "01")
    wrapped = await provider.wrap(ROOT_KEY, CONTEXT)
    assert await provider.unwrap(wrapped, CONTEXT) == ROOT_KEY


async def test_a_call_that_hangs_ends_in_time_and_the_next_one_works(
    token: Token, make: MakeProvider
) -> None:
    """By another process: the one that hangs is killed."""
    token.change_keys({**KEYS[0], "label": "hang"})
    provider = make(timeout=10.0, key_label="hang")
    await provider.describe()
    stopped = helper(provider)
    os.kill(stopped, signal.SIGSTOP)
    assert await refusal(provider) == "key_provider_timeout"
    assert not process_file(stopped, "cmdline").exists()
    await provider.describe()
    assert helper(provider) != stopped


async def test_calls_at_once_are_made_one_after_the_other(token: Token, make: MakeProvider) -> None:
    """Two threads in a PKCS#11 library have destroyed tokens."""
    token.change_keys({**KEYS[0], "label": "many"})
    provider = make(key_label="many")

    async def use() -> None:
        wrapped = await provider.wrap(ROOT_KEY, CONTEXT)
        assert await provider.unwrap(wrapped, CONTEXT) == ROOT_KEY

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(use)


async def test_a_wrong_pin_is_shown_to_the_token_once(
    token: Token, make: MakeProvider, tmp_path: Path
) -> None:
    """Even when the right one is in its place by then: the agent is restarted first."""
    pin = tmp_path / "pin"
    pin.touch(mode=0o600)
    pin.write_text("wrong-1234")
    provider = make(pin_file=str(pin))
    assert await refusal(provider) == "key_provider_pin_wrong"
    pin.write_text(PIN)
    assert await refusal(provider) == "key_provider_pin_wrong"
    pin.chmod(0o640)
    assert await refusal(make(pin_file=str(pin))) == "key_provider_denied"
    pin.chmod(0o600)
    assert await refusal(make(pin_file=str(pin), key_label="nothing")) == "key_provider_key_missing"


async def test_a_pin_of_the_environment_or_of_systemd(
    token: Token, make: MakeProvider, tmp_path: Path
) -> None:
    """Never in the arguments of the process."""
    token.change_keys({**KEYS[0], "label": "pins"})
    (tmp_path / "hsm-pin").write_text(f"{PIN}\n")
    places = (
        make(
            pin_file=None,
            pin_variable="TOKEN_PIN",
            environment={"TOKEN_PIN": PIN},
            key_label="pins",
        ),
        make(
            pin_file=None,
            pin_credential="hsm-pin",
            environment={"CREDENTIALS_DIRECTORY": str(tmp_path)},
            key_label="pins",
        ),
    )
    for provider in places:
        await provider.describe()
        assert PIN.encode() not in process_file(helper(provider), "cmdline").read_bytes()


async def test_the_helper_gets_nothing_of_the_agents_environment(
    token: Token, make: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is not given, it does not have."""
    monkeypatch.setenv("FREEHOLD_TOKEN", "s.secret-of-the-agent")
    token.change_keys({**KEYS[0], "label": "env"})
    provider = make(key_label="env")
    await provider.describe()
    environment = process_file(helper(provider), "environ").read_bytes()
    assert b"SOFTHSM2_CONF=" in environment
    assert b"secret-of-the-agent" not in environment


async def test_keys_that_do_not_do(token: Token, make: MakeProvider) -> None:
    """One that can be read out, one that may not be used, one of another algorithm."""
    token.change_keys(
        {**KEYS[0], "label": "open", "exportable": True},
        {**KEYS[0], "label": "off", "uses": False},
        {**KEYS[0], "label": "aes"},
    )
    assert await refusal(make(key_label="open")) == "key_provider_key_exportable"
    assert await refusal(make(key_label="off")) == "key_provider_key_disabled"
    assert await refusal(make(key_label="aes", algorithm="RSA-OAEP-SHA1")) == (
        "key_provider_unsupported"
    )


async def test_what_is_not_there(token: Token, make: MakeProvider, tmp_path: Path) -> None:
    """A module, a token; and it is found when it is there again."""
    assert await refusal(make(module=str(tmp_path / "none.so"))) == "key_provider_unreachable"
    assert await refusal(make(serial="0000")) == "key_provider_unreachable"
    token.change_keys({**KEYS[0], "label": "back"})
    provider = make(key_label="back")
    away = token.store.rename(tmp_path / "away")
    token.store.mkdir()
    assert await refusal(provider) == "key_provider_unreachable"
    token.store.rmdir()
    away.rename(token.store)
    await provider.describe()
