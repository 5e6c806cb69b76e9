"""A SoftHSM token in a folder, and keys on it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.run_times import timed_start

MODULE: Final = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN: Final = "pin-of-the-token-9174"
LABEL: Final = "freehold"

_MAKE_KEYS: Final = """
import json, sys
import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass
module, label, pin, keys = json.loads(sys.argv[1])
with pkcs11.lib(module).get_token(token_label=label).open(rw=True, user_pin=pin) as session:
    for key in keys:
        id_, name = bytes.fromhex(key["id"]), key["label"]
        if key.get("delete"):
            for found in list(session.get_objects({Attribute.LABEL: name, Attribute.ID: id_})):
                found.destroy()
        elif key.get("rsa"):
            session.generate_keypair(KeyType.RSA, 2048, label=name, id=id_, store=True)
        else:
            uses = key.get("uses", True)
            session.create_object({
                Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES,
                Attribute.TOKEN: True, Attribute.PRIVATE: True, Attribute.LABEL: name,
                Attribute.ID: id_, Attribute.VALUE: bytes.fromhex(key["value"]),
                Attribute.SENSITIVE: not key.get("exportable"),
                Attribute.EXTRACTABLE: bool(key.get("exportable")),
                Attribute.ENCRYPT: uses, Attribute.DECRYPT: uses,
                Attribute.WRAP: uses, Attribute.UNWRAP: uses,
            })
"""


class Token:
    """One token, in its own folder; nobody else's SoftHSM sees it."""

    module = MODULE

    @timed_start("softhsm token")
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = folder / "tokens"
        self.store.mkdir()
        self.config = folder / "softhsm2.conf"
        self.config.write_text(f"directories.tokendir = {self.store}\nlog.level = ERROR\n")
        self.pin_file = folder / "pin"
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(f"{PIN}\n")
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", LABEL,
             "--so-pin", "so-pin-0000", "--pin", PIN],
            env=self.environment, check=True, capture_output=True,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find the token."""
        return {"PATH": os.environ["PATH"], "SOFTHSM2_CONF": str(self.config)}

    def section(self, **more: object) -> dict[str, Any]:
        """`encryption` of an agent's configuration."""
        hsm = {
            "module": str(self.module), "token": LABEL, "key_label": "root",
            "pin_file": str(self.pin_file), **more,
        }  # fmt: skip
        return {"key_management": "hsm", "hsm": hsm}

    def protect(self, *, writable: bool) -> None:
        """Whether its own user, unless it is root, may write to the store.

        SoftHSM rewrites its files in place, at each login too: a process that is killed then leaves
        an empty token. Without the right to write it logs in all the same.
        """
        for place in (self.store, *self.store.rglob("*")):
            place.chmod(
                (0o755 if writable else 0o555) if place.is_dir() else 0o644 if writable else 0o444
            )

    def change_keys(self, *keys: Mapping[str, object]) -> None:
        """Make or delete keys, in a process of their own: the library is for one thread."""
        argument = json.dumps([str(self.module), LABEL, PIN, keys])
        subprocess.run(
            [sys.executable, "-c", _MAKE_KEYS, argument],
            env=self.environment, check=True, capture_output=True,
        )  # fmt: skip
