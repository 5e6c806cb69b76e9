"""The examples of docs/guides/custom-rotators.md do what the guide says."""

import hashlib
import importlib.metadata
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.rotation_launcher import Launcher
from vault.errors import ConflictError
from vault.rotation import rotator as interface
from vault.rotation.rotator import RotationContext, RotationError, Rotators

MakeContext = Callable[..., RotationContext]


@pytest.fixture(scope="module")
def blocks(root: Path) -> dict[str, list[str]]:
    """The guide's blocks of code by their language."""
    text = (root / "docs/guides/custom-rotators.md").read_text()
    found: dict[str, list[str]] = {}
    for _indent, language, body in re.findall(r"(?ms)^( *)```(\w+)\n(.*?)^\1```$", text):
        found.setdefault(language, []).append(textwrap.dedent(body))
    return found


def test_the_package(
    blocks: dict[str, list[str]],
    tmp_path: Path,
    make_context: MakeContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is found by its entry point, and rotates with both tokens accepted in between."""
    (tmp_path / "acme_rotators.py").write_text(blocks["python"][1])
    monkeypatch.syspath_prepend(tmp_path)
    project = tomllib.loads(blocks["toml"][1])["project"]
    entries = [
        importlib.metadata.EntryPoint(name, path, interface.ENTRY_POINTS)
        for name, path in project["entry-points"][interface.ENTRY_POINTS].items()
    ]
    monkeypatch.setattr(interface, "entry_points", lambda **_group: entries)
    rotators = Rotators()
    rotators.register_entry_points()
    assert rotators.names() == ["acme-token"]
    with pytest.raises(ConflictError):
        rotators.register_entry_points()
    accepted = tmp_path / "accepted"
    kind = rotators.get("acme-token")
    config = kind.parse({"accepted": str(accepted)})
    assert kind.overlaps(config)
    rotator, context = kind.make(config), make_context()
    with pytest.raises(RotationError, match="token_file"):
        rotator.apply(context, {"token": "x"})
    accepted.touch()
    old = rotator.create(context, {})
    rotator.apply(context, old)
    new = rotator.create(context, old)
    with pytest.raises(RotationError, match="token_unknown"):
        rotator.verify(context, new)
    for _ in range(2):
        rotator.apply(context, new)
    for value in (old, new):
        rotator.verify(context, value)
    for _ in range(2):
        rotator.retire(context, old)
    rotator.verify(context, new)
    with pytest.raises(RotationError, match="token_unknown"):
        rotator.verify(context, old)
    sys.modules.pop("acme_rotators")


def test_the_script(
    blocks: dict[str, list[str]], launcher: Launcher, make_context: MakeContext
) -> None:
    """With the definition that the guide gives it."""
    program = launcher.folder / "app-token"
    program.write_text(blocks["python"][0])
    program.chmod(0o755)
    definition = launcher.definitions / "app-token.toml"
    installed = "/usr/local/lib/freehold/app-token"
    assert installed in blocks["toml"][0]
    definition.write_text(blocks["toml"][0].replace(installed, str(program)))
    definition.chmod(0o644)
    accepted = launcher.folder / "accepted"
    rotator = launcher.rotator("app-token", accepted=str(accepted))
    context = make_context()
    value = rotator.create(context, {})
    with pytest.raises(RotationError, match="no_file") as caught:
        rotator.verify(context, value)
    assert caught.value.is_final
    accepted.write_text("")
    accepted.chmod(0o644)
    with pytest.raises(RotationError, match="not_accepted") as caught:
        rotator.verify(context, value)
    assert not caught.value.is_final
    accepted.write_text(hashlib.sha256(value["token"].encode()).hexdigest())
    for step in (rotator.apply, rotator.verify, rotator.retire):
        step(context, value)
