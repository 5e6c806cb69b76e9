"""What two versions differ in: every change once, in one direction."""

from vault.model.labels import LabelDiff, Labels, MetadataChange

OLD = Labels(metadata={"env": "dev", "team": "a", "same": "x"}, tags=["a", "b"])
NEW = Labels(metadata={"same": "x", "env": "prod", "tier": ""}, tags=["b", "c"])


def test_what_came_went_and_changed() -> None:
    """What is the same is not told; an empty value is a value."""
    assert LabelDiff.between(OLD, NEW) == LabelDiff(
        metadata_added={"tier": ""},
        metadata_removed={"team": "a"},
        metadata_changed={"env": MetadataChange(before="dev", after="prod")},
        tags_added=["c"],
        tags_removed=["a"],
    )


def test_the_same_is_no_difference() -> None:
    """In whatever order the keys are."""
    turned = Labels(metadata=dict(reversed(OLD.metadata.items())), tags=OLD.tags)
    nothing = LabelDiff(
        metadata_added={}, metadata_removed={}, metadata_changed={}, tags_added=[], tags_removed=[]
    )
    assert LabelDiff.between(OLD, turned) == nothing
