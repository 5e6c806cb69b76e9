"""What the binary starts: the command line, or a module that it runs in a process of its own.

A program of ours starts the latter as `sys.executable -I -m MODULE`, which is this file where there
is no interpreter. Options of the interpreter are ignored: a binary is isolated from its environment
anyway.
"""

import gc

gc.set_threshold(50_000)  # what a command loads stays (ui/cli/main.py)

import os  # noqa: E402
import sys  # noqa: E402
from runpy import run_module  # noqa: E402

MODULES = ("vault.backup.proof_child", "vault.rotation.launcher", "vault.seal.root_keys.helper")
_FLAGS = frozenset({"-I", "-P"})


def main() -> None:
    """Find out which, and run it."""
    _restore_library_path()
    _import_from_files()
    arguments = sys.argv[1:]
    while arguments and arguments[0] in _FLAGS:
        arguments = arguments[1:]
    if arguments[:1] != ["-m"]:
        from ui.cli.main import main as command_line

        command_line()
        return
    module = arguments[1] if len(arguments) > 1 else ""
    if module not in MODULES:
        sys.exit(f"freehold: no module {module!r} to run: it is one of {', '.join(MODULES)}")
    sys.argv = [sys.argv[0], *arguments[2:]]
    run_module(module, run_name="__main__", alter_sys=True)


def _restore_library_path() -> None:
    """The bootloader lets the dynamic loader find the folder's libraries.

    What `freehold run` starts is to find the system's.
    """
    before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    os.environ.pop("LD_LIBRARY_PATH", None)
    if before is not None:
        os.environ["LD_LIBRARY_PATH"] = before


def _import_from_files() -> None:
    """All modules are files beside the program: import them as an interpreter does.

    PyInstaller looks each of them up in an archive first, which is a twelfth of a start.
    """
    sys.path_hooks[:] = [
        hook for hook in sys.path_hooks if not hook.__module__.startswith("pyimod")
    ]
    sys.path_importer_cache.clear()
    archives = [path for path in sys.path if path.endswith(".zip")]
    sys.path[:] = [path for path in sys.path if path not in archives] + archives


main()
