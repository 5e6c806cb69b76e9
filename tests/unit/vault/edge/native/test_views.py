"""How rows look on the wire: the design's names, RFC 3339, and nothing that is internal."""

import json

import msgspec
import pytest
from msgspec.structs import replace

from vault.edge.native.views import diff_body, info_body, secret_body, value_body, version_bodies
from vault.model.labels import Labels
from vault.model.records import SecretRow, VersionRow
from vault.model.results import SecretInfo, SecretValue, VersionComparison, VersionLabels

ROW = SecretRow(
    name="secret/a", id="s1", current_version=2, created_at=10**18, updated_at=10**18,
    created_by="root", expires_at=2 * 10**18, tags=["t"], mac=b"mac-bytes",
)  # fmt: skip
VERSION = VersionRow(
    secret_id="s1", version=1, wrapped_dek=b"wrapped", box=b"box-bytes", kek_generation=3,
    created_at=10**18, created_by="alice", deletion_time=10**18,
)  # fmt: skip


def test_a_head_has_no_value_and_nothing_sealed() -> None:
    """The value is absent, not null; keys, boxes and MACs stay inside."""
    body = msgspec.json.encode(secret_body(ROW))
    shown = json.loads(body)
    assert "value" not in shown
    assert shown["expires_at"] == "2033-05-18T03:33:20Z"
    for hidden in (b"mac", b"wrapped", b"box"):
        assert hidden not in body


def test_a_value_names_its_version_and_key() -> None:
    """The version is the one that was read, not the current one."""
    result = SecretValue(secret=ROW, version=VERSION, value=b'[1, "x"]')
    body = msgspec.json.encode(value_body(result))
    assert b'"value":[1, "x"]' in body
    assert (json.loads(body)["version"], json.loads(body)["key_id"]) == (1, "kek-3")


def test_a_version_says_who_and_when() -> None:
    """With the time of its deletion, and none where there is none; whether it changed labels."""
    info = SecretInfo(
        secret=ROW, versions=[VERSION, replace(VERSION, version=2, deletion_time=0)],
        relabelled={2: True}, access=None, mount=None,
    )  # fmt: skip
    with pytest.raises(ValueError, match="uses"):
        info_body(info)
    shown, live = version_bodies(info)
    assert (shown.created_by, shown.deleted_at) == ("alice", "2001-09-09T01:46:40Z")
    assert live.deleted_at is None
    assert (shown.metadata_changed, live.metadata_changed) == (None, True)


def test_a_difference_has_both_sides() -> None:
    """`from` and `to`, who wrote which when, and what is not the same."""
    old = Labels(metadata={"env": "dev", "team": "a"}, tags=["t"])
    labelled = VersionLabels.of_version(replace(VERSION, labels=old))
    assert labelled is not None
    now = VersionLabels.current(replace(ROW, metadata={"env": "prod", "tier": "1"}))
    shown = json.loads(
        msgspec.json.encode(diff_body(VersionComparison(secret=ROW, before=labelled, after=now)))
    )
    assert (shown["from"]["by"], shown["from"]["metadata"]["env"]) == ("alice", "dev")
    assert (shown["to"]["version"], shown["to"]["tags"]) == (0, ["t"])
    assert shown["changes"] == {
        "metadata_added": {"tier": "1"},
        "metadata_removed": {"team": "a"},
        "metadata_changed": {"env": {"from": "dev", "to": "prod"}},
        "tags_added": [],
        "tags_removed": [],
    }
