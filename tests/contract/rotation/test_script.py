"""Scripts under the real launcher, which is root and gives each run a uid and namespaces."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.world import SystemWorld
from tests.support.rotation_launcher import PYTHON, UIDS, Launcher, running
from vault.rotation.rotator import RotationContext, RotationError
from vault.rotation.rotators import script

CREATE = 'print(json.dumps({"value": {"password": "made"}}))'
DAEMON = """
if os.fork() == 0:
    os.setsid()
    os.fork()
else:
    os.close(1)
__import__("time").sleep(60)
"""
MakeContext = Callable[..., RotationContext]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="the launcher is root where there is no systemd"
)


def refused(run: Callable[[], object]) -> RotationError:
    """The error that it raises."""
    with pytest.raises(RotationError) as caught:
        run()
    return caught.value


def processes_of(uids: range) -> list[int]:
    """The processes of these uids."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                owner = entry.stat().st_uid
            except FileNotFoundError:
                continue
            if owner in uids:
                found.append(int(entry.name))
    return found


def test_a_script_gets_its_request_and_answers(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """Every step, with settings, connection and values on standard input."""
    body = """
if request["step"] == "create":
    value = {"seen": json.dumps(request, sort_keys=True)}
    print(json.dumps({"value": value}))
elif request["value"] != {"password": "new"}:
    sys.exit(1)
"""
    launcher.install("echo", body)
    rotator = launcher.rotator("echo", role="app")
    context = make_context({"admin": "secret"}, fence=7)
    made = rotator.create(context, {"password": "old"})
    assert json.loads(made["seen"]) == {
        "version": 1,
        "step": "create",
        "rotation": context.rotation,
        "key": f"{context.rotation}:create",
        "fence": 7,
        "settings": {"role": "app"},
        "connection": {"admin": "secret"},
        "previous": {"password": "old"},
    }
    for step in (rotator.apply, rotator.verify, rotator.retire):
        step(context, {"password": "new"})
    assert refused(lambda: rotator.apply(context, {"password": "x"})).code == "script_failed"


def test_a_script_has_no_privilege_no_environment_and_files_of_its_own(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """Uid, groups, capabilities, environment, argv, open files, other processes, scratch space."""
    body = """
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
open("/tmp/mine", "w").write("x")
found = {
    "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()],
    "capabilities": [status[k] for k in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
    "no_new_privs": status["NoNewPrivs"], "environment": dict(os.environ), "argv": sys.argv[1:],
    "files": sorted(os.listdir("/proc/self/fd"))[:3], "count": len(os.listdir("/proc/self/fd")),
    "processes": [p for p in os.listdir("/proc") if p.isdigit()], "tmp": os.listdir("/tmp"),
    "devices": sorted(os.listdir("/dev")), "shm": os.listdir("/dev/shm"),
    "sessions": [line.split()[5] for line in open("/proc/keys").read().splitlines()
                if "_ses" in line],
    "cwd": os.getcwd(), "stderr": os.readlink("/proc/self/fd/2"),
}
print(json.dumps({"value": {"found": json.dumps(found)}}))
"""
    launcher.install("inside", body)
    for _run in range(2):  # the second one finds nothing of the first one's
        made = launcher.rotator("inside").create(make_context(), {})
        found = json.loads(made["found"])
        uid = found["ids"][0]
        assert found["ids"] == [uid, uid, uid, []]
        assert uid in UIDS
        assert set(found["capabilities"]) == {"0" * 16}
        assert found["no_new_privs"] == "1"
        found["environment"].pop("LC_CTYPE", None)  # Python's own
        assert found["environment"] == {}
        assert found["argv"] == []
        assert found["files"] == ["0", "1", "2"]
        assert found["count"] == 4  # and the folder that is listed
        assert found["processes"] == ["1"]
        assert found["tmp"] == ["mine"]
        assert found["devices"] == ["fd", "full", "null", "random", "shm", "urandom", "zero"]
        assert found["shm"] == []
        assert set(found["sessions"]) == {str(uid)}  # owners; that of a run before may linger
        assert found["cwd"] == "/"
        assert found["stderr"] == "/dev/null"


def test_a_script_leaves_no_key_for_the_next_of_its_uid(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """The kernel keeps a keyring of each uid (user-keyring(7)), whoever has that uid next."""
    body = """
import ctypes, platform
libc = ctypes.CDLL(None)
add, keyctl = {"x86_64": (248, 250)}.get(platform.machine(), (217, 219))
long, there = ctypes.c_long, ctypes.c_int(-4)
found = libc.syscall(long(keyctl), ctypes.c_int(10), there, b"user", b"left", 0)
made = libc.syscall(long(add), b"user", b"left", b"secret", ctypes.c_size_t(6), there)
print(json.dumps({"value": {"uid": str(os.getuid()), "found": str(found > 0),
    "made": str(made > 0)}}))
"""
    launcher.install("keys", body)
    seen = [launcher.rotator("keys").create(make_context(), {}) for _ in range(2 * len(UIDS))]
    assert len({each["uid"] for each in seen}) < len(seen)
    assert {each["found"] for each in seen} == {"False"}
    assert {each["made"] for each in seen} == {"True"}


def test_a_script_cannot_read_the_agents_files_or_write_any(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """Not even those that everybody may read; the whole tree is read-only."""
    readable = Path("/var/log") / f"freehold-test-{os.getpid()}"
    readable.write_text("x")
    readable.chmod(0o666)
    body = f"""
import errno
found = {{}}
for path in ("/etc/shadow", "/etc/freehold/vault.yaml", {str(readable)!r},
             {str(launcher.definitions)!r} + "/../socket"):
    try: open(path).read(); found[path] = "read"
    except OSError as error: found[path] = errno.errorcode[error.errno]
for path in ({str(launcher.folder)!r} + "/new", "/new", "/dev/new", {str(readable)!r}):
    try: open(path, "a").write("x"); found["+" + path] = "written"
    except OSError as error: found["+" + path] = errno.errorcode[error.errno]
print(json.dumps({{"value": {{k: v for k, v in found.items()}}}}))
"""
    launcher.install("reader", body)
    try:
        found = launcher.rotator("reader").create(make_context(), {})
    finally:
        readable.unlink()
    assert set(found.values()) <= {"EACCES", "ENOENT", "EROFS", "ENXIO"}
    assert len(found) == 8


def test_a_script_reaches_no_network_unless_its_definition_allows_it(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """Not even loopback."""
    body = """
import socket
try:
    socket.create_connection(("127.0.0.1", int(request["settings"]["port"])), timeout=2)
    found = "connected"
except OSError as error:
    found = "refused"
print(json.dumps({"value": {"found": found}}))
"""
    launcher.install("offline", body)
    launcher.install("online", body, network=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        for name, expected in (("offline", "refused"), ("online", "connected")):
            made = launcher.rotator(name, port=port).create(make_context(), {})
            assert made == {"found": expected}, name


@pytest.mark.parametrize(
    "body",
    [
        "import time; time.sleep(60)",
        "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)",
        DAEMON,
        "while True: pass",
    ],
    ids=["sleeps", "ignores-signals", "daemon", "spins"],
)
def test_a_script_ends_at_its_deadline_with_all_it_has_started(
    body: str, launcher: Launcher, make_context: MakeContext
) -> None:
    """And the agent is told."""
    launcher.install("late", body, seconds=1)
    begun = time.monotonic()
    error = refused(lambda: launcher.rotator("late").create(make_context(), {}))
    assert error.code in {"script_timeout", "script_failed"}  # RLIMIT_CPU has the same second
    assert not error.is_final
    assert time.monotonic() - begun < 30
    assert processes_of(UIDS) == []


def test_a_daemon_does_not_outlive_a_script_that_has_answered(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """Whatever session it is in."""
    body = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(0); os.close(1)
        while True: __import__("time").sleep(1)
    os._exit(0)
{CREATE}
"""
    launcher.install("daemon", body)
    assert launcher.rotator("daemon").create(make_context(), {}) == {"password": "made"}
    assert processes_of(UIDS) == []


def test_a_fork_bomb_meets_its_limit(launcher: Launcher, make_context: MakeContext) -> None:
    """`tasks` counts the script itself."""
    body = """
children = 0
try:
    while children < 500:
        if os.fork() == 0: __import__("time").sleep(60)
        children += 1
except BlockingIOError: pass
print(json.dumps({"value": {"children": str(children)}}), flush=True)
os.kill(-1, 9)
"""
    launcher.install("bomb", body, tasks=8, seconds=10)
    # Its children hold standard output; kill(-1) spares the first process of a namespace.
    made = launcher.rotator("bomb").create(make_context(), {})
    assert made == {"children": "7"}
    assert processes_of(UIDS) == []


def test_memory_has_a_bound(launcher: Launcher, make_context: MakeContext) -> None:
    """`memory`, for each process."""
    launcher.install("hungry", f"x = b'x' * (512 << 20)\n{CREATE}", memory=128)
    assert refused(lambda: launcher.rotator("hungry").create(make_context(), {})).code == (
        "script_failed"
    )


def test_output_has_a_bound(launcher: Launcher, make_context: MakeContext) -> None:
    """A gigabyte is not read; the script is ended."""
    body = "for _ in range(1 << 14): sys.stdout.write('x' * (1 << 16))"
    launcher.install("loud", body)
    error = refused(lambda: launcher.rotator("loud").create(make_context(), {}))
    assert error.code == "script_output"


def test_nothing_that_a_script_says_reaches_an_error_or_the_log(
    launcher: Launcher, make_context: MakeContext, canary: str
) -> None:
    """Standard error, a text for an error, a code that is the secret, a broken answer."""
    bodies = [
        "print(request['value']['password'], file=sys.stderr); sys.exit(3)",
        "print(json.dumps({'error': request['value']['password']}))",
        "print(json.dumps({'error': 'locked', 'text': request['value']['password']}))",
        "print(request['value']['password'])",
        "raise ValueError(request['value']['password'])",
        "import syslog; syslog.syslog(request['value']['password']); sys.exit(1)",
        "open('/dev/console', 'w').write(request['value']['password'])",
    ]
    for number, body in enumerate(bodies):
        launcher.install(f"leaky{number}", body, errors={"locked": "the account is locked"})
        rotator = launcher.rotator(f"leaky{number}")
        context = make_context({"admin": canary})
        error = refused(lambda: rotator.apply(context, {"password": canary}))  # noqa: B023
        assert canary not in repr((str(error), error.text, error.code)), body
    assert launcher.log == ""


def test_a_listed_error_has_the_definitions_text(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """And says whether it is final."""
    launcher.install(
        "locked",
        "print(json.dumps({'error': 'locked'})); sys.exit(1)",
        errors={"locked": "the account is locked: unlock it"},
        final_errors=["locked"],
    )
    error = refused(lambda: launcher.rotator("locked").apply(make_context(), {"password": "x"}))
    assert (error.code, error.text) == ("locked", "the account is locked: unlock it")
    assert error.is_final


def test_a_definition_that_others_can_change_is_refused(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """Mode, owner, symbolic links of the file, its folder and the command; it is read each time."""
    program = launcher.install("guarded", CREATE)
    definition = launcher.definitions / "guarded.toml"
    rotator = launcher.rotator("guarded")

    def code() -> str:
        return refused(lambda: rotator.create(make_context(), {})).code

    assert rotator.create(make_context(), {}) == {"password": "made"}
    for path in (definition, program, launcher.definitions):
        mode = path.stat().st_mode & 0o777
        path.chmod(mode | 0o020)
        assert code() == "script_untrusted", path
        path.chmod(mode | 0o002)
        assert code() == "script_untrusted", path
        path.chmod(mode)
        os.chown(path, 61901, -1)
        assert code() == "script_untrusted", path
        os.chown(path, 0, -1)
        aside = path.with_name(path.name + ".aside")
        path.rename(aside)
        path.symlink_to(aside)
        assert code() == "script_untrusted", path
        path.unlink()
        aside.rename(path)
    assert rotator.create(make_context(), {}) == {"password": "made"}
    definition.unlink()
    assert code() == "script_unknown"


@pytest.mark.parametrize(
    "text",
    [
        "", "command = []", 'command = ["relative"]', 'command = ["/usr/../bin/true"]',
        'command = "/usr/bin/true"', 'command = ["/usr/bin/true"]\nseconds = 301',
        'command = ["/usr/bin/true"]\nmemroy = 1', 'command = ["/usr/bin/true"]\nnetwork = 1',
        'command = ["/usr/bin/true"]\nfinal_errors = ["x"]', "=",
    ],
)  # fmt: skip
def test_a_bad_definition_is_refused(
    text: str, launcher: Launcher, make_context: MakeContext
) -> None:
    """With what is wrong."""
    definition = launcher.definitions / "bad.toml"
    definition.write_text(text)
    definition.chmod(0o644)
    error = refused(lambda: launcher.rotator("bad").create(make_context(), {}))
    assert error.code == "script_definition"
    assert error.is_final


@pytest.mark.parametrize(
    "answer",
    ["", "[]", "{}", '{"value": {}}', '{"value": {"a": 1}}', '{"value": {"a": "b"}, "more": 1}',
     "\\\\x00", '{"value": {"a": "\\\\ud800"}}', "[" * 5000],
)  # fmt: skip
def test_an_answer_of_another_shape_is_refused(
    answer: str, launcher: Launcher, make_context: MakeContext
) -> None:
    """Nothing of it is passed on."""
    launcher.install("odd", f"print('''{answer}''')")
    error = refused(lambda: launcher.rotator("odd").create(make_context(), {}))
    assert error.code == "script_answer"


def test_a_name_is_no_path() -> None:
    """Nothing outside of the folder can be named."""
    kind = script.kind(None, SystemWorld())
    for name in ("../x", "a/b", "", ".hidden", "a\n", "A", "x" * 65, "-"):
        with pytest.raises(Exception, match="script"):
            kind.parse({"script": name})


def test_another_user_may_not_connect(launcher: Launcher) -> None:
    """The socket is the agent's alone, and whoever gets at it is refused by its credentials."""
    assert launcher.socket.stat().st_mode & 0o777 == 0o600
    launcher.socket.chmod(0o666)
    program = f"""
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect({str(launcher.socket)!r})
s.sendall(b'{{}}'); s.shutdown(1); sys.stdout.write(s.recv(4096).decode())
"""
    try:
        answer = subprocess.run(
            [PYTHON, "-IS", "-c", program],
            check=True, capture_output=True, timeout=20, user=61950, group=61950, extra_groups=[],
        ).stdout  # fmt: skip
    finally:
        launcher.socket.chmod(0o600)
    assert json.loads(answer)["error"]["code"] == "launcher_peer"


def test_nothing_is_sent_to_a_listener_that_is_not_root(
    tmp_path: Path, make_context: MakeContext, world: SystemWorld, canary: str
) -> None:
    """Somebody who has bound the path first gets no secret. Here `owner` stands for root."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        kind = script.kind(path, world, owner=61950)
        rotator = kind.make(kind.parse({"script": "x"}))
        error = refused(lambda: rotator.apply(make_context(), {"password": canary}))
        assert error.code == "launcher_peer"
        connection, _address = listener.accept()
        with connection:
            assert connection.recv(100) == b""


def test_a_request_that_is_too_large_or_ends_early_is_refused(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """By the agent, and by the launcher."""
    launcher.install("echo", CREATE)
    error = refused(lambda: launcher.rotator("echo").apply(make_context(), {"p": "x" * 70_000}))
    assert error.code == "script_request"
    huge = b'{"version": 1, "script": "echo", "step": "apply", "timeout": 1%s}' % (b"0" * 400)
    for sent in (b"x" * 70_000, b"{}", b"", b"[]", b'{"version": 2}', huge):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(launcher.socket))
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert json.loads(connection.recv(4096))["error"]["code"] == "launcher_request"


def test_without_a_launcher_scripts_are_refused(
    tmp_path: Path, make_context: MakeContext, world: SystemWorld
) -> None:
    """None is configured, or none listens."""
    for path, code in ((None, "scripts_off"), (tmp_path / "none", "launcher_away")):
        kind = script.kind(path, world)
        rotator = kind.make(kind.parse({"script": "x"}))
        error = refused(lambda: rotator.create(make_context(), {}))  # noqa: B023
        assert (error.code, error.is_final) == (code, path is None)


def test_runs_beyond_the_uids_wait_and_all_succeed(
    launcher: Launcher, make_context: MakeContext
) -> None:
    """There are three uids."""
    launcher.install("plain", CREATE)
    made = list[object]()
    threads = [
        threading.Thread(
            target=lambda: made.append(launcher.rotator("plain").create(make_context(), {}))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made == [{"password": "made"}] * 8


@needs_root
def test_runs_die_with_the_launcher(make_context: MakeContext, world: SystemWorld) -> None:
    """Killed outright: no script goes on without its deadline."""
    with running(world) as launcher:
        launcher.install("sleeper", "import time; time.sleep(60)")
        caught = list[str]()
        thread = threading.Thread(
            target=lambda: caught.append(
                refused(lambda: launcher.rotator("sleeper").create(make_context(), {})).code
            )
        )
        thread.start()
        deadline = time.monotonic() + 30
        while not processes_of(UIDS):
            assert time.monotonic() < deadline
        launcher.process.send_signal(signal.SIGKILL)
        thread.join(20)
        assert caught == ["launcher_answer"]
        while processes_of(UIDS):
            assert time.monotonic() < deadline


@needs_root
@pytest.mark.parametrize("uids", ["0-3", "0", "5-1", "1-100", "x", "1-1"])
def test_uids_belong_to_no_account(uids: str) -> None:
    """Uid 1 is `daemon`."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "vault.rotation.launcher", "serve", "--agent", "root",
         "--socket", "/nowhere", "--uids", uids],
        check=False, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 2
    assert "uid" in done.stderr


@needs_root
def test_a_launcher_that_cannot_listen_says_why() -> None:
    """In a sentence."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "vault.rotation.launcher", "serve", "--agent", "root",
         "--socket", "/nowhere/socket", "--uids", "61901-61903"],
        check=False, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 2
    assert "create its folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_launcher_listens_in_no_folder_that_others_can_write(tmp_path: Path) -> None:
    """They could put a link there, and what it leads to would become the agent's."""
    for mode, owner in ((0o777, 0), (0o755, 61950)):
        folder = tmp_path / f"open-{owner}"
        folder.mkdir()
        folder.chmod(mode)
        os.chown(folder, owner, -1)
        done = subprocess.run(
            [sys.executable, "-I", "-m", "vault.rotation.launcher", "serve", "--agent", "root",
             "--socket", str(folder / "socket"), "--uids", "61901-61901"],
            check=False, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert done.returncode == 2
        assert "must belong to root" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (folder / "socket").exists()


def test_under_systemd_it_answers_on_standard_input_without_privilege(
    launcher: Launcher, make_context: MakeContext, world: SystemWorld, tmp_path: Path
) -> None:
    """As the service does it: a user without rights, the accepted socket, limits, a deadline.

    The script has the launcher's user, and yet cannot look into it or write its answer.
    """
    body = """
limits = open("/proc/self/limits").read()
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
try:
    parent = ",".join(os.listdir(f"/proc/{os.getppid()}/fd"))
except PermissionError:
    parent = "closed"
print(json.dumps({"value": {"uid": str(os.getuid()), "new_privs": status["NoNewPrivs"],
    "launcher": parent,
    "memory": next(l.split()[3] for l in limits.splitlines() if l.startswith("Max address"))}}))
"""
    launcher.install("unprivileged", body, memory=100)
    launcher.install("late", "__import__('time').sleep(60)", seconds=1)
    path = tmp_path / "socket"
    kind = script.kind(path, world, owner=os.getuid())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def accept_once() -> None:
            connection, _address = listener.accept()
            with connection:
                subprocess.run(
                    [PYTHON, "-IS", str(_launcher_file()), "connection", "--agent", "root",
                     "--folder", str(launcher.definitions)],
                    check=True, stdin=connection, timeout=30, env={},
                    user=61950, group=61950, extra_groups=[],
                )  # fmt: skip

        for name in ("unprivileged", "late"):
            thread = threading.Thread(target=accept_once)
            thread.start()
            rotator = kind.make(kind.parse({"script": name}))
            if name == "late":
                error = refused(lambda: rotator.create(make_context(), {}))  # noqa: B023
                assert error.code == "script_timeout"
            else:
                made = rotator.create(make_context(), {})
                assert made == {
                    "uid": "61950", "new_privs": "1", "memory": str(100 << 20),
                    "launcher": "closed",
                }  # fmt: skip
            thread.join()


def _launcher_file() -> Path:
    return Path(script.__file__).parents[1] / "launcher.py"


def test_the_launcher_loads_nothing_of_the_agent() -> None:
    """It is root: all the code that it has is its own file and the standard library."""
    program = (
        "import sys; before = set(sys.modules); import vault.rotation.launcher; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before}, "
        "*(name for name in sys.modules if name.startswith('vault')))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        check=True, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.startswith("vault")}
    assert ours == {"vault", "vault.rotation", "vault.rotation.launcher"}
    assert loaded - ours <= set(sys.stdlib_module_names)


def test_the_unprivileged_launcher_refuses_to_be_root(launcher: Launcher) -> None:
    """A unit that lost its DynamicUser runs nothing."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "vault.rotation.launcher", "connection", "--agent", "root"],
        check=False, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 2
    assert "must not be root" in done.stderr
