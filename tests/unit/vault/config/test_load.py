from pathlib import Path

import pytest

from protocols.settings.loader import MAX_BYTES
from vault.config import ConfigError, dev_settings, load_settings
from vault.config.settings import RefusalSettings

GOOD = """
server:
  port: 8080
  tls: {cert_file: tls/server.crt, key_file: tls/server.key}
storage:
  connection_string: "sqlite:////data/vault.db"
"""

# The design's own file, with what this version does not have yet switched off.
SEED = """
server:
  port: 8080
  tls: {enabled: true, cert_file: /certs/server.crt, key_file: /certs/server.key,
        ca_file: /certs/ca.crt}
storage: {type: sqlite, connection_string: "sqlite:////data/vault.db", max_connections: 100,
          connection_timeout: 30s}
encryption: {key_management: file, key_file: /keys/master.key, rotation_interval: 90d}
authentication: {methods: [api_key], session_timeout: 24h, max_sessions_per_user: 10}
audit: {enabled: true, log_file: /logs/audit.log, rotation_size: 100MB, retention_days: 365,
        forward_to_syslog: false}
backup:
  enabled: false
  schedule: "0 2 * * *"
  destinations:
    - {type: local, path: /backups}
    - {type: s3, bucket: vault-backups, region: us-west-2}
monitoring: {metrics_enabled: true, prometheus_endpoint: /metrics, health_check_interval: 30s}
control_plane: {enabled: false, endpoint: "https://control.example.com",
  certificate_path: /certs/client.crt, private_key_path: /certs/client.key,
  heartbeat_interval: 60s}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A usable file."""
    path = tmp_path / "vault.yaml"
    path.write_text(GOOD)
    return path


def refusal(file: Path, **environment: str) -> str:
    """What is said about the file and the environment."""
    with pytest.raises(ConfigError) as caught:
        load_settings(file, environment)
    return str(caught.value)


def test_every_key_of_the_seed_is_known(file: Path) -> None:
    """Nothing of the design's vault.yaml is an unknown key."""
    file.write_text(SEED)
    found = load_settings(file, {})
    assert found.audit_log == Path("/logs/audit.log")
    assert found.encryption.key_file == Path("/keys/master.key")
    assert found.storage.max_connections == 100


def test_paths_are_seen_from_the_files_folder(file: Path) -> None:
    """Whatever folder the service was started in."""
    assert load_settings(file, {}).server.tls.cert_file == file.parent / "tls/server.crt"


def test_the_environment_wins_over_the_file(file: Path) -> None:
    """Values are read as the file would read them; other variables are nobody's business."""
    found = load_settings(
        file,
        {
            "FREEHOLD_AGENT_SERVER__PORT": "9000",
            "FREEHOLD_AGENT_AUTHENTICATION__METHODS": "[api_key]",
            "FREEHOLD_ADDR": "https://localhost",
            "HOME": "/",
        },
    )
    assert found.server.port == 9000
    assert found.server.tls.key_file == file.parent / "tls/server.key"
    assert found.authentication.methods == ("api_key",)


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("FREEHOLD_AGENT_SERVR__PORT", "servr"),
        ("FREEHOLD_AGENT_SERVER__PROT", "server.prot"),
        ("FREEHOLD_AGENT_SERVER_PORT", "server_port"),
        ("FREEHOLD_AGENT_", ""),
    ],
)
def test_a_misspelt_variable_is_an_error(file: Path, variable: str, key: str) -> None:
    """Silently ignored it would leave the agent listening where it should not."""
    said = refusal(file, **{variable: "1"})
    assert "is not a key of this file" in said
    assert f"{key}: " in said


def test_an_error_names_the_variable_it_came_from(file: Path) -> None:
    """Not the file, in which it is not."""
    assert refusal(file, FREEHOLD_AGENT_SERVER__PORT="70000").startswith(
        "FREEHOLD_AGENT_SERVER__PORT: server.port: "
    )
    assert refusal(file, FREEHOLD_AGENT_AUDIT="[").startswith("FREEHOLD_AGENT_AUDIT: line ")


def test_all_faults_are_told_at_once_with_file_and_key(file: Path) -> None:
    """One round of mending, not one a fault."""
    file.write_text(GOOD + "audit: {rotation_sise: 1MB, retention_days: 0}\nextra: 1\n")
    lines = refusal(file).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [str(file), "audit.retention_days"],
        [str(file), "audit.rotation_sise"],
        [str(file), "extra"],
    ]
    assert lines[2].endswith("extra: is not a key of this file; is it misspelt?")


def test_a_missing_section_is_named(file: Path) -> None:
    """`server.tls` has no default: plain HTTP is said in words or not at all."""
    file.write_text("server: {port: 8080}\n")
    assert refusal(file).splitlines() == [
        f"{file}: server.tls: is missing",
        f"{file}: storage: is missing",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"server:\n  port: 1\n  port: 2\n", "line 3: port is there twice"),
        (b"1: x\n", "line 1: a key that is not text"),
        (b"server: [\n", "line 2: "),
        (b"- a\n", "is not a YAML mapping"),
        (b"", "is not a YAML mapping"),
        (b"\xff\xfe\xfa", "is not YAML"),
        (b"#" * (MAX_BYTES + 1), "is over 1048576 bytes"),
    ],
)
def test_what_is_not_a_settings_file_is_refused(file: Path, content: bytes, message: str) -> None:
    """With the line; a repeated key, of which YAML keeps the last, is an error too."""
    file.write_bytes(content)
    assert message in refusal(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With the system's reason."""
    assert refusal(tmp_path / "none.yaml").endswith(
        "none.yaml: cannot be read: No such file or directory"
    )


def test_no_error_repeats_what_was_in_the_file(file: Path) -> None:
    """A connection string's password, wherever it was put by mistake."""
    file.write_text(
        GOOD.replace("sqlite:////data/vault.db", "mysql://ada:hunter2@db/v")
        + "limits: {rate: hunter2}\naudit: {durability: hunter2, retention_days: hunter2}\n"
    )
    assert "hunter2" not in refusal(file)
    file.write_text("storage: {connection_string: 'mysql://ada:hunter2@db\n")
    assert "hunter2" not in refusal(file)


def test_a_developers_agent_keeps_everything_in_one_folder(tmp_path: Path) -> None:
    """Plain HTTP on loopback, unsealed by a key file; also for a folder with odd signs in it."""
    folder = tmp_path / "a b#c?"
    found = dev_settings("127.0.0.1:8200", folder)
    assert found.server.address == ("127.0.0.1", 8200)
    assert found.storage.file == folder / "vault.db"
    assert found.encryption.key_file == folder / "root.key"
    assert found.audit_log == folder / "audit.log"
    assert found.limits.refusals == RefusalSettings()  # its log is bounded as that of any other


def test_a_developers_agent_stays_on_loopback(tmp_path: Path) -> None:
    """Its token is on the command line and there is no TLS."""
    with pytest.raises(ConfigError, match=r"^--listen: .*is not loopback"):
        dev_settings("0.0.0.0:8200", tmp_path)


def test_a_wrong_option_is_told_by_its_own_name_and_once(tmp_path: Path) -> None:
    """One heartbeat makes five settings."""
    for given, told in (
        ({"heartbeat": "3parsecs"}, "--heartbeat: is not a duration such as 30s, 24h or 90d"),
        ({"heartbeat": "2h"}, "--heartbeat: must be between 1s and 1h"),
        ({"workers": 0}, "--workers: "),
    ):
        with pytest.raises(ConfigError) as caught:
            dev_settings("127.0.0.1:0", tmp_path, **given)  # type: ignore[arg-type]
        [fault] = caught.value.faults
        assert fault.startswith(told)
