"""`control.yaml` is strict."""

from pathlib import Path

import pytest

from control.config.load import ConfigError, load_settings

GOOD = """
server: {listen: "127.0.0.1:1", tls: {enabled: false}}
database: {url: "sqlite:////data/control.db"}
keys: {folder: keys}
"""


def read(folder: Path, text: str, **environment: str) -> str:
    """The refusal, empty if it is fine."""
    file = folder / "control.yaml"
    file.write_text(text)
    try:
        load_settings(file, environment)
    except ConfigError as error:
        return str(error)
    return ""


def test_good_ones(tmp_path: Path) -> None:
    """Also PostgreSQL, and a port on every interface with TLS."""
    assert read(tmp_path, GOOD) == ""
    assert read(tmp_path, GOOD.replace("sqlite:////data/control.db", "postgresql://h/d")) == ""
    shared = GOOD.replace("sqlite:////data/control.db", "postgresql://h/d")
    assert read(tmp_path, f'{shared}redis: {{url: "redis://:pw@h/1"}}') == ""
    tls = '"0.0.0.0:1", tls: {cert_file: a, key_file: b}'
    assert read(tmp_path, GOOD.replace('"127.0.0.1:1", tls: {enabled: false}', tls)) == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("127.0.0.1:1", "0.0.0.0:1", "without TLS"),
        ("127.0.0.1:1", "127.0.0.1", "host:port"),
        ("enabled: false", "enabled: true", "cert_file"),
        ("sqlite:////data", "sqlite:///data", "neither"),
        ("keys: {", "presence: {heartbeat: 200s}\nkeys: {", "two heartbeats"),
        (
            "keys: {",
            'link: {listen: "h:1", hosts: [h], authority: ca, dead_after: 1ms}\nkeys: {',
            "dead",
        ),
        ("keys: {", "redis: {url: x}\nkeys: {", "redis.url: is none of redis://"),
        ("keys: {", 'redis: {url: "redis://h"}\nkeys: {', "SQLite is for one process"),
    ],
)
def test_bad_ones_name_the_fault(tmp_path: Path, old: str, new: str, said: str) -> None:
    """And the process does not start."""
    assert said in read(tmp_path, GOOD.replace(old, new))


MAIL = 'mail: {host: mail.example, sender: "f@a.example"}'


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (MAIL, ""),
        ('private: ["10.1.0.0/16", "fc00::/7"]', ""),
        (MAIL.replace("mail.example", "127.0.0.1, tls: plain"), ""),
        (MAIL.replace("mail.example", "mail.example, tls: plain"), "without TLS"),
        ('private: ["10.1.0.1/16"]', "host bits"),
        ('mail: {host: mail.example, sender: "nobody"}', "sender"),
    ],
)
def test_notify(tmp_path: Path, section: str, said: str) -> None:
    """Mail by TLS unless it stays on the machine; networks are networks."""
    answer = read(tmp_path, f"{GOOD}notify: {{{section}}}")
    assert said in answer
    assert bool(said) == bool(answer)
