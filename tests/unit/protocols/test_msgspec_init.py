"""Shapes that threads may read at once."""

import subprocess
import sys
from typing import Final

import pytest

# Each round has shapes of its own, and two threads that read them for the first time.
_ROUNDS: Final = """
import sys
from threading import Barrier, Thread
from msgspec import Struct, defstruct, msgpack
from protocols import msgspec_init

sys.setswitchinterval(1e-6)
LISTS = {f"a{n}": "dict[str, list[int | None]]" for n in range(10)}

def nested(depth):
    shape = defstruct("Leaf", LISTS.items())
    for _ in range(depth):
        shape = defstruct("Nested", [*LISTS.items(), ("below", shape)], bases=(Base,))
    return shape

class Base(Struct):
    pass

def read(shape, value, barrier):
    barrier.wait()
    msgpack.decode(value, type=shape)

value = {name: {"x": [1]} for name in LISTS}
for _ in range(12):
    value = {**value, "below": value}
encoded = msgpack.encode(value)
for _ in range(int(sys.argv[2])):
    shape = nested(12)
    if sys.argv[1] == "complete":
        msgspec_init.prepare_structs()
    barrier = Barrier(2)
    threads = [Thread(target=read, args=(shape, encoded, barrier)) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print("read")
"""

# Prints the modules whose shapes are made when something is loaded, or late, behind that.
_LATE: Final = """
import importlib, pkgutil, sys, msgspec
from protocols import msgspec_init

def below(shape):
    for each in shape.__subclasses__():
        yield each
        yield from below(each)

first, *folders = sys.argv[1:]
for name in first.split(","):
    importlib.import_module(name)
known = set(below(msgspec.Struct))
for folder in folders:
    package = importlib.import_module(folder)
    for module in pkgutil.walk_packages(package.__path__, folder + "."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
print(*sorted({shape.__module__ for shape in set(below(msgspec.Struct)) - known}))
"""


# What only the command line reads, in its one thread.
COMMANDS: Final = """
protocols.http.local_probe
vault.backup.diff vault.control_link.capture_comparison vault.installation.vault_checks
vault.store.copy
"""

# What only the helper process of a key provider reads, in its one thread.
HELPER: Final = """
vault.seal.root_keys.aws_kms
vault.seal.root_keys.azure_key_vault
vault.seal.root_keys.google_kms
vault.seal.root_keys.pkcs11
vault.seal.root_keys.transit
"""

# What is made ready when it is first used: `vault.rotation.rotator.Rotators`.
ROTATORS: Final = """
vault.rotation.rotators.aws vault.rotation.rotators.generated vault.rotation.rotators.ldap
vault.rotation.rotators.mysql vault.rotation.rotators.postgresql vault.rotation.rotators.redis
vault.rotation.rotators.script vault.rotation.rotators.ssh vault.rotation.rotators.tls
vault.rotation.rotators.webhook
"""

# What only an agent with a control plane reads, or the command line.
LINKS: Final = """
protocols.http.local_probe protocols.pki.messages vault.backup.diff vault.store.copy
vault.control_link.capture_comparison vault.control_link.dependencies
vault.control_link.enrol_client vault.control_link.host vault.control_link.identity
vault.installation.vault_checks
"""


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_two_threads_may_read_a_shape_for_the_first_time() -> None:
    """Made ready before, it is the same for both; otherwise the process ends by a signal."""
    assert python(_ROUNDS, "complete", "40").stdout == "read\n"
    assert python(_ROUNDS, "forget", "40").returncode < 0  # once it is not, `shapes` may go


@pytest.mark.parametrize(
    ("loaded", "folder", "late"),
    [
        (
            "vault.app,vault.control_link.wiring",
            "vault",
            COMMANDS + HELPER + ROTATORS,
        ),
        ("control.app", "control", "control.offline protocols.http.local_probe"),
        ("vault.app", "vault", LINKS + HELPER + ROTATORS),
    ],
)
def test_all_that_a_process_reads_is_loaded_when_it_is_made_ready(
    loaded: str, folder: str, late: str
) -> None:
    """No module with shapes is loaded behind the calls of `complete`."""
    done = python(_LATE, loaded, folder, "actors", "protocols")
    assert done.stdout.split() == sorted(late.split()), done.stderr
