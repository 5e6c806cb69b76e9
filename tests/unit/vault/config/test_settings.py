from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from protocols.instant import SECOND
from vault.config import workers
from vault.config.settings import DAY, METHOD_LIBRARIES, Settings, StorageSettings

TLS: Mapping[str, Any] = {"cert_file": "/certs/server.crt", "key_file": "/certs/server.key"}
STORAGE: Mapping[str, Any] = {"connection_string": "sqlite:////data/vault.db"}

ISSUER = {
    "name": "ci", "issuer": "https://ci.test", "audiences": ["a"], "ceiling": ["read-only"],
    "policies": ["app"],
}  # fmt: skip
HSM = {"module": "/m.so", "token": "t", "key_label": "k", "pin_file": "/pin"}
AWS = {"key": "alias/root"}
AZURE = {"vault": "https://freehold.vault.azure.net", "key": "root"}
TRANSIT = {"address": "https://bao.test:8200", "key": "root", "token_file": "/token"}


def hsm(**changes: object) -> dict[str, object]:
    """A section `encryption` with these settings of the token changed."""
    return {"key_management": "hsm", "hsm": HSM | changes}


def cloud_kms(**sections: object) -> dict[str, object]:
    """A section `encryption` with these clouds."""
    return {"key_management": "cloud_kms", "cloud_kms": sections}


def settings(**sections: Mapping[str, Any]) -> Settings:
    """The smallest usable file, with these sections instead."""
    least = {"server": {"port": 8080, "tls": TLS}, "storage": STORAGE}
    return Settings.model_validate({**least, **sections})


def refusal(**sections: Mapping[str, Any]) -> str:
    """What is said about these sections."""
    with pytest.raises(ValidationError) as caught:
        settings(**sections)
    return str(caught.value)


def test_defaults_are_the_seeds_and_safe() -> None:
    """What a file need not say: shamir, durable audit beside the database, everything else off."""
    found = settings()
    assert found.encryption.key_management == "shamir"
    assert found.encryption.rotation_interval == 90 * DAY
    assert found.audit_log == Path("/data/audit.log")
    assert found.anchor_file == Path("/data/vault.anchor")
    assert found.audit.durability == "fsync"
    assert found.audit.rotation_size == 100_000_000
    assert found.audit.retention_days == 365
    assert not found.audit.forward_to_syslog
    assert found.monitoring.metrics_enabled
    assert not found.backup.enabled
    assert not found.control_plane.enabled


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ({"port": 8080, "tls": TLS}, ("0.0.0.0", 8080)),
        ({"port": 8080, "tls": {"enabled": False}}, ("127.0.0.1", 8080)),
        ({"listen": "10.0.0.1:8200", "tls": TLS}, ("10.0.0.1", 8200)),
        ({"listen": "[::1]:8200", "tls": {"enabled": False}}, ("::1", 8200)),
        ({"listen": "localhost:0", "tls": {"enabled": False}}, ("localhost", 0)),
    ],
)
def test_listen_may_stand_for_port(server: Mapping[str, Any], address: tuple[str, int]) -> None:
    """A port alone is on every interface with TLS, on loopback without."""
    assert settings(server=server).server.address == address


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"tls": TLS}, "needs either port or listen"),
        ({"port": 1, "listen": "127.0.0.1:1", "tls": TLS}, "needs either port or listen"),
        ({"listen": "8080", "tls": TLS}, "not host:port"),
        ({"listen": ":8080", "tls": TLS}, "not host:port"),
        ({"listen": "127.0.0.1:65536", "tls": TLS}, "not host:port"),
        ({"port": 65536, "tls": TLS}, "less than or equal to 65535"),
        ({"port": 8080}, "Field required"),
        ({"port": 8080, "tls": {}}, "needs cert_file and key_file"),
        ({"port": 8080, "tls": {"cert_file": "/c"}}, "needs cert_file and key_file"),
        ({"port": 8080, "tls": {**TLS, "client_auth": "required"}}, "needs ca_file"),
        ({"port": 8080, "tls": {**TLS, "client_auth": "maybe"}}, "'none', 'optional' or"),
    ],
)
def test_a_listener_that_could_not_serve_is_refused(
    server: Mapping[str, Any], message: str
) -> None:
    """Before anything is opened, and saying what is missing."""
    assert message in refusal(server=server)


def test_a_ca_file_alone_asks_clients_for_a_certificate() -> None:
    """As in the design's file; a trust store that nothing uses would mislead."""
    assert settings().server.tls.client_auth == "none"
    with_ca = {**TLS, "ca_file": "/certs/ca.crt"}
    assert settings(server={"port": 1, "tls": with_ca}).server.tls.client_auth == "optional"
    off = {**with_ca, "client_auth": "none"}
    assert settings(server={"port": 1, "tls": off}).server.tls.client_auth == "none"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.com", "[::]"])
def test_without_tls_only_loopback_is_served(host: str) -> None:
    """Turned off in words, and even then no other machine can reach it."""
    server = {"listen": f"{host}:8080", "tls": {"enabled": False}}
    assert "is not loopback" in refusal(server=server)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///vault.db", "is not an absolute path"),
        ("sqlite:///:memory:", "is not an absolute path"),
        ("sqlite://", "is not an absolute path"),
        ("sqlite:////", "is not an absolute path"),
        ("sqlite:////d/v.db?synchronous=NORMAL", "takes no options"),
        ("postgres://ada:hunter2@localhost/vault", "is not of the form sqlite"),
        ("sqlite://[hunter2/x", "is not a URL"),
    ],
)
def test_an_unsafe_database_is_refused_and_its_password_not_shown(url: str, message: str) -> None:
    """In-memory and weakened databases are not durable; a string's password stays in the file."""
    said = refusal(storage={"connection_string": url})
    assert message in said
    assert "hunter2" not in said


SERVER: Mapping[str, Any] = {
    "type": "postgresql",
    "connection_string": "postgresql://u@localhost/vault",
}


def test_stale_reads() -> None:
    """Off unless it is asked for, bounded, and of a server alone: a file does not go away."""
    assert StorageSettings.model_validate(SERVER).stale_reads is None
    found = StorageSettings.model_validate({**SERVER, "stale_reads": "30s"})
    assert found.stale_reads == 30 * SECOND
    for wrong in ("0s", "999ms", "61m", "-1s", "always"):
        assert "stale_reads" in refusal(storage={**SERVER, "stale_reads": wrong})
    assert "stale_reads is for a database server" in refusal(
        storage={**STORAGE, "stale_reads": "30s"}
    )


def test_a_connection_string_is_not_in_the_repr() -> None:
    """Settings may be logged."""
    found = settings(storage={"connection_string": "sqlite:////data/hunter%202.db"})
    assert "hunter" not in repr(found)
    assert found.storage.file == Path("/data/hunter 2.db")


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("encryption", {"key_management": "hsm"}, "need each other"),
        ("encryption", {"hsm": HSM}, "need each other"),
        ("encryption", hsm(token=None), "needs token"),
        ("encryption", hsm(pin_file=None), "needs one of pin_file"),
        ("encryption", hsm(pin_variable="PIN"), "needs one of pin_file"),
        ("encryption", hsm(create_key=True, key_id="01"), "leave key_id out"),
        ("encryption", hsm(key_id="1"), "key_id"),
        ("encryption", hsm(timeout="10m"), "is 1s to 120s"),
        ("encryption", hsm() | {"key_file": "/k"}, "keep no key on disk"),
        ("encryption", {"key_management": "cloud_kms"}, "need each other"),
        ("encryption", {"cloud_kms": {"aws": AWS}}, "need each other"),
        ("encryption", cloud_kms(), "needs one of aws, gcp, azure and transit"),
        ("encryption", cloud_kms(aws=AWS, azure=AZURE), "needs one of aws, gcp, azure and transit"),
        ("encryption", cloud_kms(aws=AWS, timeout="500ms"), "is 1s to 120s"),
        ("encryption", cloud_kms(aws=AWS | {"endpoint": "http://kms"}), "use https://"),
        ("encryption", cloud_kms(gcp={"key": "root"}), "gcp.key"),
        ("encryption", cloud_kms(azure=AZURE | {"vault": "https://evil.test"}), "azure.vault"),
        ("encryption", cloud_kms(azure=AZURE | {"key": "a/b"}), "azure.key"),
        ("encryption", cloud_kms(transit=TRANSIT | {"key": "../sys"}), "transit.key"),
        ("encryption", cloud_kms(transit=TRANSIT | {"mount": "a/../b"}), "transit.mount"),
        (
            "encryption",
            cloud_kms(transit=TRANSIT | {"token_file": None}),
            "needs one of token_file",
        ),
        ("encryption", cloud_kms(transit=TRANSIT | {"address": "http://10.0.0.1"}), "use https://"),
        ("encryption", {"key_management": "file"}, "needs key_file"),
        ("encryption", {"key_management": "shamir", "key_file": "/k"}, "keep no key on disk"),
        ("authentication", {"methods": ["api_key"], "jwt": {"issuers": [ISSUER]}}, "needs jwt"),
        ("authentication", {"methods": ["radius"]}, "authentication.methods"),
        ("authentication", {"methods": []}, "at least 1"),
        ("authentication", {"session_timeout": "10s"}, "is 1m to 32d"),
        ("authentication", {"session_timeout": "33d"}, "is 1m to 32d"),
        ("authentication", {"session_idle": "10s"}, "is 1m to 24h"),
        ("authentication", {"max_sessions_per_user": 0}, "greater than or equal to 1"),
        ("storage", {**STORAGE, "connection_timeout": "500ms"}, "is 1s to 10m"),
        ("storage", {**STORAGE, "connection_timeout": "11m"}, "is 1s to 10m"),
        ("cache", {"redis": {"url": "redis://h"}}, "cache.redis is for several agents"),
        ("monitoring", {"health_check_interval": "5s"}, "from the running state at each request"),
        ("audit", {"enabled": False}, "no value leaves the agent without its record"),
        ("audit", {"rotation_size": "1KB"}, "greater than or equal to"),
        ("audit", {"durability": "none"}, "'fsync' or 'write'"),
        ("backup", {"enabled": True}, "needs destinations"),
        ("monitoring", {"prometheus_endpoint": "/m"}, "'/metrics'"),
        ("limits", {"rate": {"requests_per_second": 0}}, "greater than 0"),
    ],
)
def test_what_this_version_cannot_do_is_refused_with_a_way_on(
    section: str, values: Mapping[str, Any], message: str
) -> None:
    """A key of the design's file is never accepted and then not honoured."""
    assert message in refusal(**{section: values})


def test_sessions_and_connections_are_the_owners_to_bound() -> None:
    """In the words of the design's file."""
    found = settings(
        authentication={"session_timeout": "8h", "max_sessions_per_user": 3},
        storage={**STORAGE, "connection_timeout": "2s"},
    )
    assert found.authentication.session_timeout == 8 * 3600 * 10**9
    assert found.authentication.max_sessions_per_user == 3
    assert found.storage.connection_timeout == 2 * 10**9


def test_every_login_method_counts_unless_some_are_named() -> None:
    """By the names of the design's file; `certificate` is a mount of the type `cert`."""
    usual = settings().authentication
    assert {"api_key", "token", "jwt", "saml", "certificate"} <= set(usual.methods)
    assert {"approle", "cert", "kubernetes", "ldap", "oidc", "saml", "userpass"} <= usual.logins
    seeds = settings(authentication={"methods": ["api_key", "jwt", "certificate"]}).authentication
    assert seeds.logins == {"jwt", "cert"}
    assert not settings(authentication={"methods": ["api_key", "token"]}).authentication.logins


def test_what_a_named_method_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to be installed; what is not named is not asked for."""
    monkeypatch.setitem(METHOD_LIBRARIES, "saml", ("no_such_module", "signxml"))
    named = settings(authentication={"methods": ["token", "saml"]}).authentication
    assert named.missing_libraries == {"saml": "signxml"}
    assert not settings(authentication={"methods": ["token"]}).authentication.missing_libraries
    assert not settings().authentication.missing_libraries


def test_the_web_interface_is_off_until_somebody_wants_it() -> None:
    """With several processes, too."""
    assert settings().server.web is False
    assert settings(server={"port": 1, "tls": TLS, "web": "on", "workers": 2}).server.web
    assert settings().authentication.session_idle == 15 * 60 * 10**9


def served_by(workers: object) -> dict[str, object]:
    """A `server` section with so many workers."""
    return {"port": 1, "tls": TLS, "workers": workers}


def test_unless_told_otherwise_it_is_as_many_workers_as_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A number, with a section that says nothing of it."""
    monkeypatch.setattr(workers, "_auto_count", lambda: 3)
    assert settings().server.workers == 3
    assert settings(server=served_by("auto")).server.workers == 3
    assert settings(server=served_by(1)).server.workers == 1


def test_each_worker_warms_its_cache_unless_told_otherwise() -> None:
    """So that they can share what nobody asked for."""
    one, two = served_by(1), served_by(2)
    assert (settings(server=one).warmup_workers, settings(server=two).warmup_workers) == (1, 2)
    assert settings(server=two, cache={"warmup_enabled": False}).warmup_workers == 0


def test_a_leader_warms_its_cache_where_it_answers_reads() -> None:
    """Alone; beside workers it would hold what they hold already."""
    one, two = served_by(1), served_by(2)
    assert (
        settings(server=one).leader_warmup_workers,
        settings(server=two).leader_warmup_workers,
    ) == (1, 0)
    assert settings(server=one, cache={"warmup_enabled": False}).leader_warmup_workers == 0


def test_the_limits_of_all_callers_together() -> None:
    """Each has a default that serves, and a floor below which nothing would."""
    limits = settings(limits={"max_delay": "50ms", "body_bytes": "64MiB"}).limits
    assert (limits.max_delay, limits.body_bytes) == (50_000_000, 64 << 20)
    assert (limits.in_hand, limits.connections) == (400, 10_000)
    assert limits.answer_bytes == 128 << 20
    assert "greater than or equal to" in refusal(limits={"answer_bytes": "8MiB"})
    assert "greater than or equal to 16" in refusal(limits={"in_hand": 1})
