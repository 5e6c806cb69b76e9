"""Rules, permissions and names that meet often, for what is held against a plain decision."""

from hypothesis import strategies as st

from vault.model.identity import Permission

TAGGED = {"type": "tags", "any": ["open"]}

names = st.sampled_from(
    ["a", "b", "ab", "a+", "a/a", "a/b", "a/ab", "a/a+", "b/a", "a/b/a", "a/b/b", "a/b/a/b", "ab/a"]
)
patterns = st.builds("".join, st.tuples(names, st.sampled_from(["", "", "*", "/*", "/*"])))
_wild = st.sampled_from(["+/a", "a/+", "+/*", "a/+*", "*"])
rules_ = st.fixed_dictionaries(
    {
        "effect": st.sampled_from(["allow", "allow", "deny"]),
        "paths": st.lists(patterns, min_size=1, max_size=3) | st.lists(_wild, min_size=1),
        "capabilities": st.sampled_from([["list"], ["*"], ["read"], ["list", "read"]]),
        "conditions": st.sampled_from([[], [], [], [TAGGED]]),
    }
)
permissions_ = st.builds(
    lambda names, paths: Permission(capabilities=tuple(names), paths=tuple(paths)),
    st.sampled_from([["list"], ["read"], ["*"]]),
    st.lists(patterns, min_size=1, max_size=2),
)
