"""What hvac's own tests find as the command `vault`: see `test_hvac_suite`.

Run by itself, with nothing but the standard library: it is started for each class of tests.
"""

import json
import os
import socket
import sys
from pathlib import Path

VERSION = "1.14.0"
"""The Vault that OpenBao was forked from; hvac's tests choose by it what they expect."""
VAULTS = "FREEHOLD_TEST_VAULTS"
BAO = "FREEHOLD_TEST_BAO"


def main() -> None:
    """`vault -version`, `vault server -config=FILE`, `vault operator …`."""
    match sys.argv[1:]:
        case ["-version"]:
            print(f"Vault v{VERSION}")  # noqa: T201  # its output
        case ["server", config]:
            sys.exit(serve(Path(config.removeprefix("-config="))))
        case ["operator", *_]:
            os.execv(os.environ[BAO], ["bao", *sys.argv[1:]])  # noqa: S606  # the client, as it is
        case words:
            sys.exit(f"vault {words}: the stand-in does not know this")


def serve(config: Path) -> int:
    """Have an agent started that listens as the file says; it lives as long as this process."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(os.environ[VAULTS])
        wire.sendall(json.dumps(json.loads(config.read_text())).encode() + b"\n")
        return len(wire.recv(1)) or 1  # until the agent has ended, which it does not by itself


if __name__ == "__main__":
    main()
