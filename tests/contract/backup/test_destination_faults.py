"""What goes wrong on the way to a destination, and what the text of an error says and does not."""

import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
import trustme
from botocore.exceptions import ClientError

from actors import SystemWorld
from tests.support.backup_places import PART, MakePlace, Place
from tests.support.backup_servers import (
    AZURE_KEY,
    LOCKED_BUCKET,
    HttpFaults,
    TcpFaults,
    private_file,
)
from vault.backup.destinations.factory import open_destination
from vault.backup.destinations.interface import Destination
from vault.backup.destinations.retries import ATTEMPTS, COOLDOWN
from vault.config.backup_destinations import S3Destination
from vault.errors import ConflictError, UnavailableError, VaultError

ROOT: Final = Path(__file__).parents[3]
DATA: Final = bytes(range(256)) * (4 * PART // 256)


def write(destination: Destination, name: str = "a.backup", data: bytes = DATA) -> None:
    """An object."""
    with destination.create(name) as put:
        put(data)


def read(destination: Destination, name: str = "a.backup") -> bytes:
    """The object."""
    with destination.open(name) as file:
        return file.read()


@pytest.fixture
def faults(bucket: Place) -> Iterator[HttpFaults]:
    """A proxy before the server of the bucket."""
    proxy = HttpFaults(bucket.server["endpoint"])
    try:
        yield proxy
    finally:
        proxy.close()


@pytest.mark.parametrize("fault", [500, 503, 429, "reset", "lost", "slow"])
def test_a_part_is_sent_again(bucket: Place, faults: HttpFaults, fault: int | str) -> None:
    """That part alone, as often as it takes; also where the server had it and we did not hear."""
    times = 1 if fault == "slow" else 2
    destination = bucket.open(endpoint=faults.url, timeout=1 if fault == "slow" else 30)
    with destination.create("a.backup") as put:
        put(DATA)
        faults.plan = [fault] * times  # of the fourth part
        faults.requests = 0
    assert faults.plan == []
    assert faults.requests == 2 + times
    assert read(bucket.open()) == DATA
    assert len(bucket.slept) == times


@pytest.mark.parametrize("fault", [500, "reset", "lost", "slow"])
def test_a_read_goes_on(bucket: Place, faults: HttpFaults, fault: int | str) -> None:
    """What fails is asked for again, not the whole object."""
    write(bucket.open())
    timeout = 1 if fault == "slow" else 30
    destination = bucket.open(endpoint=faults.url, timeout=timeout)
    faults.method = "GET"
    with destination.open("a.backup") as file:
        first = file.read(10)
        faults.plan = [fault]
        assert first + file.read() == DATA
    assert faults.plan == []


def test_another_writers_object_is_not_taken_for_ours(bucket: Place, faults: HttpFaults) -> None:
    """The first try was lost, and then somebody else was there."""
    destination = bucket.open(endpoint=faults.url)
    with pytest.raises(ConflictError), destination.create("a.backup") as put:  # noqa: PT012
        put(b"ours")
        write(bucket.open(), data=b"theirs")
        faults.plan = [503]
    assert read(bucket.open()) == b"theirs"


def test_a_server_that_stays_down(bucket: Place, faults: HttpFaults) -> None:
    """So many tries, then none for a while, then one; nothing is left when it is back."""
    destination = bucket.open(endpoint=faults.url)
    with pytest.raises(UnavailableError) as caught, destination.create("a.backup") as put:  # noqa: PT012
        put(DATA[: 2 * PART])
        faults.plan = [500] * 100
        faults.requests = 0
        put(DATA)
    assert caught.value.code == "backup_unavailable"
    assert "it answered 500" in caught.value.message
    assert faults.requests == len(bucket.slept) + 1 == ATTEMPTS
    with pytest.raises(UnavailableError) as caught:
        destination.names()
    assert "is tried again after 30 s" in caught.value.message
    bucket.world.advance(COOLDOWN + 1)
    assert destination.names() == []
    with pytest.raises(UnavailableError):
        write(destination)
    faults.plan = []
    bucket.world.advance(COOLDOWN + 1)
    write(destination)
    assert read(destination) == DATA


@pytest.mark.parametrize("size", [10, 3 * PART])
def test_given_up_when_the_server_has_it(bucket: Place, faults: HttpFaults, size: int) -> None:
    """No answer to the last request came through: the object is taken back, it alone."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    destination = bucket.open(endpoint=faults.url, sleep=interrupt)
    with pytest.raises(KeyboardInterrupt), destination.create("a.backup") as put:  # noqa: PT012
        put(DATA[:size])
        faults.plan = ["", "lost"] if size > PART else ["lost"]
    assert bucket.everything() == []
    with pytest.raises(KeyboardInterrupt), destination.create("a.backup") as put:  # noqa: PT012
        put(DATA[:size])
        write(bucket.open(), data=b"theirs")
        faults.plan = ["", "lost"] if size > PART else ["lost"]
    assert bucket.everything() == ["a.backup"]
    assert read(bucket.open()) == b"theirs"


@pytest.fixture
def cut(make_place: MakePlace) -> Iterator[tuple[Place, TcpFaults]]:
    """A way to the SFTP server that is cut."""
    place = make_place("sftp")
    proxy = TcpFaults(place.server["port"])
    known = place.server["known_hosts_file"].with_name(f"known-{proxy.port}")
    known.write_text(f"[127.0.0.1]:{proxy.port} {place.server['host_key']}")
    place.config |= {"port": proxy.port, "known_hosts_file": known}
    try:
        yield place, proxy
    finally:
        proxy.close()


@pytest.mark.parametrize("after", [0, 20, 1_500, 5_000, 40_000, 100_000, 200_000])
def test_a_connection_that_is_cut(cut: tuple[Place, TcpFaults], after: int) -> None:
    """At the greeting, in the key exchange, in a part: a new one goes on with that part."""
    place, proxy = cut
    proxy.plan = [after, 30_000]
    destination = place.open()
    write(destination)
    assert proxy.connections == 3
    assert read(destination) == DATA
    assert place.everything() == ["a.backup"]


@pytest.mark.parametrize("after", [0, 1_500, 100_000])
def test_a_connection_that_stalls(cut: tuple[Place, TcpFaults], after: int) -> None:
    """In the key exchange or in a part: given up in time, and made anew."""
    place, proxy = cut
    proxy.stalls = True
    proxy.plan = [after]
    write(place.open(timeout=2))
    assert len(place.slept) == 1
    assert read(place.open()) == DATA
    assert place.everything() == ["a.backup"]


def test_a_server_of_sftp_that_stays_down(cut: tuple[Place, TcpFaults]) -> None:
    """An error that says so; the breaker spares the next caller the wait."""
    place, proxy = cut
    proxy.plan = [0] * 100
    destination = place.open()
    with pytest.raises(UnavailableError) as caught:
        write(destination)
    assert "the connection failed" in caught.value.message
    connections = proxy.connections
    assert connections == ATTEMPTS
    with pytest.raises(UnavailableError) as caught:
        destination.names()
    assert "is tried again after 30 s" in caught.value.message
    assert proxy.connections == connections


def test_nothing_listens(make_place: MakePlace) -> None:
    """The text says that it is the network, of each kind."""
    for kind in ("s3", "sftp"):
        place = make_place(kind)
        changes: dict[str, Any] = {"endpoint": "http://127.0.0.1:1"}
        if kind == "sftp":
            changes = {"port": 1}
        with pytest.raises(UnavailableError) as caught:
            place.open(**changes).names()
        assert "nothing listens there" in caught.value.message


class EndlessList(BaseHTTPRequestHandler):
    """A bucket whose list has the same page, whatever was asked for."""

    protocol_version = "HTTP/1.1"
    answered = 0

    def do_GET(self) -> None:
        """The page; no object."""
        type(self).answered += 1
        if "list-type" not in self.path or self.answered > 200:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        entry = (
            "<Contents><Key>.parts/a.backup/{:06}</Key><Size>1</Size><ETag>x</ETag>"
            "<LastModified>2025-01-01T00:00:00.000Z</LastModified></Contents>"
        )
        entries = "".join(entry.format(number) for number in range(1000))
        self._answer(200, f"<ListBucketResult>{entries}</ListBucketResult>".encode())

    def do_HEAD(self) -> None:
        """No object."""
        self._answer(404, b"")

    def do_DELETE(self) -> None:
        """It says that it is gone."""
        self._answer(204, b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_list_that_does_not_end(tmp_path: Path) -> None:
    """It is given up: nobody waits for ever, with the lease of the backups."""
    credentials = private_file(
        tmp_path / "keys", "[default]\naws_access_key_id=a\naws_secret_access_key=b\n"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), EndlessList)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        config = S3Destination(
            bucket="backups",
            endpoint=f"http://127.0.0.1:{server.server_port}",
            credentials_file=credentials,
        )
        with pytest.raises(UnavailableError, match="the same names again"):
            open_destination(config, SystemWorld()).remove("a.backup")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def secrets_of(place: Place) -> set[str]:
    """What no text may hold."""
    found = {AZURE_KEY}
    for name in ("credentials_file", "stranger", "key_file"):
        if name in place.server:
            found |= set(re.findall(r"[A-Za-z0-9/+=]{16,}", place.server[name].read_text()))
    return found


def require_fault(place: Place, destination: Destination, words: str) -> None:
    """Writing, reading and listing say the same, and nothing secret."""

    def listed() -> object:
        return destination.names()

    for act in (lambda: write(destination), listed):
        with pytest.raises(VaultError) as caught:
            act()
        assert caught.value.code == "backup_unavailable", caught.value
        assert words in caught.value.message
        text = f"{caught.value!r} {caught.value.__cause__!r}"
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert not [secret for secret in secrets_of(place) if secret in text]
        assert "sig=" not in text
    assert place.slept == []


def wrong_credentials(place: Place) -> dict[str, Any]:
    """Of the right form."""
    if place.kind != "s3":
        return {"credentials_file": place.server["stranger"]}
    text = place.server["credentials_file"].read_text().rpartition(" = ")[0]
    file = place.server["credentials_file"].with_name("wrong")
    return {"credentials_file": private_file(file, f"{text} = {'A' * 40}\n")}


def test_wrong_credentials(bucket: Place) -> None:
    """It says which file."""
    destination = bucket.open(**wrong_credentials(bucket))
    require_fault(bucket, destination, "the credentials are wrong: see credentials_file")


def test_a_shared_access_signature_is_not_repeated(make_place: MakePlace, tmp_path: Path) -> None:
    """It is in the URL of each request."""
    place = make_place("azure")
    signature = (
        "sv=2021-08-06&ss=b&srt=sco&sp=rwdl&se=2030-01-01T00:00:00Z&sig=c2VjcmV0LXNlY3JldA%3D%3D"
    )
    destination = place.open(credentials_file=private_file(tmp_path / "sas", signature))
    with pytest.raises(UnavailableError) as caught:
        destination.names()
    assert "the credentials are wrong" in caught.value.message
    assert "c2VjcmV0" not in f"{caught.value!r}"


def test_a_bucket_that_is_not_there(bucket: Place) -> None:
    """It says that."""
    name = "container" if bucket.kind == "azure" else "bucket"
    require_fault(bucket, bucket.open(**{name: "nothing"}), "no such bucket or container")


def test_no_permission(make_place: MakePlace) -> None:
    """A user who is known and may do nothing; it says what was tried."""
    place = make_place("s3")
    destination = place.open(credentials_file=place.server["stranger"])
    require_fault(place, destination, "the credentials have no permission to ")


def test_a_folder_without_permission(make_place: MakePlace) -> None:
    """Of a server that speaks SFTP; root may do anything but this."""
    place = make_place("sftp")
    with pytest.raises(UnavailableError) as caught:
        write(place.open(path="/proc/self/backups"))
    assert place.slept == []
    assert caught.value.code == "backup_unavailable"


def test_wrong_key(make_place: MakePlace) -> None:
    """Of a user of SFTP."""
    place = make_place("sftp")
    destination = place.open(key_file=place.server["stranger"])
    require_fault(place, destination, "does not accept the user or the key")


def test_wrong_host_key(make_place: MakePlace, tmp_path: Path) -> None:
    """Another one than is known, or none is known: nothing is sent to it."""
    place = make_place("sftp")
    empty = tmp_path / "empty"
    empty.touch()
    for known in (place.server["other_hosts"], empty):
        destination = place.open(known_hosts_file=known)
        require_fault(place, destination, "the server's host key is not that of known_hosts_file")
    require_fault(place, place.open(known_hosts_file=tmp_path / "no"), "cannot be read")


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure", "sftp"])
def test_a_secret_that_others_can_read(make_place: MakePlace, tmp_path: Path, kind: str) -> None:
    """Or one that is not there, or no secret at all."""
    place = make_place(kind)
    setting = "key_file" if kind == "sftp" else "credentials_file"
    file = tmp_path / "secret"
    file.write_text(place.server[setting].read_text())
    file.chmod(0o640)
    require_fault(place, place.open(**{setting: file}), "has mode 0640: run chmod 600 on it")
    require_fault(place, place.open(**{setting: tmp_path / "no"}), "No such file")
    file.chmod(0o600)
    file.write_text("" if kind == "azure" else "nonsense")
    require_fault(place, place.open(**{setting: file}), "")


def test_no_credentials(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a file nor in the environment nor of the machine."""
    place = make_place("s3")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(UnavailableError) as caught:
        place.open(credentials_file=None, timeout=1).names()
    assert "there are no credentials: set credentials_file" in caught.value.message


def test_credentials_of_the_environment(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count where there is no file, and not where there is one."""
    place = make_place("s3")
    lines = place.server["credentials_file"].read_text().splitlines()[1:]
    for name, _, value in (line.partition(" = ") for line in lines):
        monkeypatch.setenv(name.upper(), value)
    write(place.open(credentials_file=None))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "other")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert read(place.open()) == DATA


@contextmanager
def tls_server(authority: trustme.CA, host: str) -> Iterator[int]:
    """One that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("ETag", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.send_response(404)
            self.end_headers()

        def do_GET(self) -> None:
            body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            self.send_response(200)
            self.send_header("Content-Length", f"{len(body)}")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is what is tested."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_certificate(
    make_place: MakePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an authority that is not known, or for another name: refused, whatever the environment."""
    monkeypatch.setenv("AWS_ALLOW_INVALID_CERTIFICATES", "true")
    place = make_place("s3")
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    untrusted = "the server's certificate is not trusted: set ca_file"
    with tls_server(authority, "127.0.0.1") as port:
        endpoint = f"https://127.0.0.1:{port}"
        require_fault(place, place.open(endpoint=endpoint), untrusted)
        write(place.open(endpoint=endpoint, ca_file=ca_file), data=b"")
    with tls_server(authority, "other.example") as port:
        endpoint = f"https://127.0.0.1:{port}"
        require_fault(place, place.open(endpoint=endpoint, ca_file=ca_file), untrusted)
    require_fault(place, place.open(ca_file=tmp_path / "no"), "ca_file")


@pytest.fixture
def client(make_place: MakePlace) -> Iterator[Any]:
    """Amazon's own, to look at objects."""
    server = make_place("s3").server
    lines = server["admin"].read_text().splitlines()[1:]
    keys = {name: value for name, _, value in (line.partition(" = ") for line in lines)}
    made = boto3.client("s3", endpoint_url=server["endpoint"], region_name="us-east-1", **keys)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("size", [10, 3 * PART])
def test_object_lock(make_place: MakePlace, client: Any, size: int) -> None:
    """Every object and part has it; nobody removes one before its time."""
    place = make_place("s3")
    world = SystemWorld()
    destination = place.open(world=world, bucket=LOCKED_BUCKET, object_lock="2h")
    write(destination, data=DATA[:size])
    listed = client.list_object_versions(Bucket=LOCKED_BUCKET, Prefix=place.prefix)["Versions"]
    assert len(listed) == (1 if size == 10 else 4)
    for each in listed:
        found = client.head_object(Bucket=LOCKED_BUCKET, Key=each["Key"])
        assert found["ObjectLockMode"] == "COMPLIANCE"
        left = found["ObjectLockRetainUntilDate"].timestamp() - world.wall() / 1e9
        assert 7_100 < left <= 7_201
        with pytest.raises(ClientError):
            client.delete_object(
                Bucket=LOCKED_BUCKET,
                Key=each["Key"],
                VersionId=each["VersionId"],
                BypassGovernanceRetention=True,
            )
    with pytest.raises(ConflictError) as caught:
        destination.remove("a.backup")
    assert caught.value.code == "backup_locked"
    assert found["ObjectLockRetainUntilDate"].strftime("%Y-%m-%dT%H:%M:%SZ") in caught.value.message
    assert read(destination) == DATA[:size]
    with pytest.raises(ConflictError):
        write(destination, data=b"other")


class LaterWorld(SystemWorld):
    """Three hours later."""

    def wall(self) -> int:
        """Unix nanoseconds."""
        return super().wall() + 3 * 3_600 * 10**9


def test_object_lock_ends(make_place: MakePlace) -> None:
    """Then it can be removed, also by a configuration that has none any more."""
    place = make_place("s3")
    write(place.open(world=SystemWorld(), bucket=LOCKED_BUCKET, object_lock="2h"))
    later = place.open(world=LaterWorld(), bucket=LOCKED_BUCKET)
    later.remove("a.backup")
    assert later.names() == []


def test_a_bucket_without_object_lock(make_place: MakePlace) -> None:
    """It is refused, and nothing is written without the lock that was asked for."""
    place = make_place("s3")
    destination = place.open(world=SystemWorld(), object_lock="2h")
    with pytest.raises(UnavailableError) as caught:
        write(destination)
    assert "the bucket has no object lock: create one that has" in caught.value.message
    assert place.everything() == []


def test_without_the_libraries(make_place: MakePlace) -> None:
    """The error names the extra; nothing of it is imported where no destination needs it."""
    program = """if True:
    import sys
    import vault.app, vault.backup.offline, vault.backup.destinations.factory as factory
    assert not {"obstore", "asyncssh"} & set(sys.modules)
    sys.modules["obstore"] = sys.modules["asyncssh"] = None
    from actors.world import SystemWorld
    from vault.config.backup_destinations import S3Destination, SftpDestination
    from vault.errors import UnavailableError
    for config in (S3Destination(bucket="abc", name="s3"), SftpDestination(
        name="sftp", host="h", user="u", path="/p", key_file="k", known_hosts_file="k")):
        try:
            factory.open_destination(config, SystemWorld())
        except UnavailableError as error:
            print(error.message)
    """
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("is not installed: pip install 'freehold[backup]'") == 2


BAD: Final[list[tuple[str, dict[str, Any]]]] = [
    ("s3", {"endpoint": "http://store.example"}),
    ("s3", {"endpoint": "https://user:password@store.example"}),
    ("s3", {"endpoint": "store.example"}),
    ("s3", {"endpoint": "https://store.example?a=b"}),
    ("s3", {"bucket": "../other"}),
    ("s3", {"prefix": "../other"}),
    ("s3", {"prefix": ".parts"}),
    ("s3", {"object_lock": "11y"}),
    ("s3", {"object_lock": "4000d"}),
    ("azure", {"account": "a.example"}),
    ("sftp", {"path": "relative"}),
    ("sftp", {"user": "-oProxyCommand=x"}),
]


@pytest.mark.parametrize(("kind", "change"), BAD)
def test_a_configuration_that_is_refused(
    make_place: MakePlace, kind: str, change: dict[str, Any]
) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=next(iter(change))) as caught:
        make_place(kind).open(**change)
    assert "password" not in f"{caught.value}"
