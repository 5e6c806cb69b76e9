"""A TPM 2.0 in software (swtpm), behind its resource manager, and a PKCS#11 token on it."""

import os
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.softhsm import LABEL, PIN, Token

TPM_MODULE: Final = Path(
    f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/pkcs11/libtpm2_pkcs11.so"
)
PATIENCE: Final = 60.0  # seconds
VARIABLES: Final = ("TPM2_PKCS11_TCTI", "DBUS_SESSION_BUS_ADDRESS")
"""What the module needs of the environment beside its store; a real TPM needs neither."""


class Tpm(Token):
    """A token whose RSA keys are in a TPM. `softhsm.Token` for the rest."""

    module = TPM_MODULE

    def __init__(self, folder: Path, bus: str) -> None:
        """`bus`: the address of the D-Bus at which the resource manager is."""
        self.folder, self.store, self._bus = folder, folder / "store", bus
        self.store.mkdir()
        self.pin_file = folder / "pin"
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(f"{PIN}\n")
        self._run("init")
        self._run("addtoken", "--pid=1", "--sopin=so-pin-0000", f"--userpin={PIN}",
                  f"--label={LABEL}")  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """See `Token`."""
        manager = "tabrmd:bus_type=session"
        return {
            "PATH": os.environ["PATH"],
            "TPM2_PKCS11_STORE": str(self.store),
            "TPM2_PKCS11_TCTI": manager,
            "TPM2TOOLS_TCTI": manager,
            "DBUS_SESSION_BUS_ADDRESS": self._bus,
            "TSS2_LOG": "all+NONE",
        }

    def section(self, **more: object) -> dict[str, Any]:
        """See `Token`."""
        return super().section(**{"environment": list(VARIABLES), **more})

    def _run(self, command: str, *words: str) -> None:
        subprocess.run(
            ["tpm2_ptool", command, "--path", str(self.store), *words],
            env=self.environment, check=True, capture_output=True,
        )  # fmt: skip


@contextmanager
def running_tpm(folder: Path) -> Iterator[Tpm]:
    """A new one, and its servers for the length of the block.

    The resource manager ends what a process has left in the TPM, as the kernel's does.
    """
    socket, bus = folder / "tpm", folder / "bus"
    (folder / "state").mkdir()
    address = f"unix:path={bus}"
    with ExitStack() as stack:
        stack.enter_context(
            _server(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder / 'state'}",
                 "--ctrl", f"type=unixio,path={socket}.ctrl",
                 "--server", f"type=unixio,path={socket}",
                 "--flags", "not-need-init,startup-clear"],
                folder, socket,
            )
        )  # fmt: skip
        stack.enter_context(
            _server(
                ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--address", address],
                folder, bus,
            )
        )  # fmt: skip
        manager = ["tpm2-abrmd", "--session", "--allow-root", f"--tcti=swtpm:path={socket}"]
        stack.enter_context(_server(manager, folder, None, bus=address))
        yield Tpm(folder, address)


@contextmanager
def _server(
    command: Sequence[str], folder: Path, socket: Path | None, *, bus: str = ""
) -> Iterator[None]:
    """A program that has made its socket, or else has its name on the bus."""
    environment = {"PATH": os.environ["PATH"], "DBUS_SESSION_BUS_ADDRESS": bus}
    with (folder / "servers.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (socket.exists() if socket else _is_on_bus(environment)):
            assert process.poll() is None, (folder / "servers.log").read_text()
            assert time.monotonic() < deadline, f"{command[0]} does not start"
            time.sleep(0.02)  # between looks
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _is_on_bus(environment: dict[str, str]) -> bool:
    asked = subprocess.run(
        ["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus",
         "/", "org.freedesktop.DBus.ListNames"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "com.intel.tss2.Tabrmd" in asked.stdout
