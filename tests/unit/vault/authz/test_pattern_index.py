"""What is filed under patterns is found where a pattern covers the path, and nowhere else."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vault.authz.pattern import parse_pattern
from vault.authz.pattern_index import build_pattern_index

_segment = st.sampled_from(["a", "b", "ab", "+", "+a"])
_texts = st.lists(_segment, min_size=1, max_size=4).map("/".join)
_patterns = st.builds("".join, st.tuples(_texts, st.sampled_from(["", "*", "/*"]))) | st.just("*")
_paths = st.builds("".join, st.tuples(_texts, st.sampled_from(["", "", "/"]))) | st.just("")


@settings(max_examples=1_000)
@given(st.lists(_patterns, max_size=12), st.lists(_paths, max_size=12))
def test_as_each_pattern_would_match(texts: list[str], paths: list[str]) -> None:
    """Of things and folders, with a plus as a wildcard or as a letter."""
    patterns = [parse_pattern(text, "paths") for text in texts]
    filed = build_pattern_index(
        (pattern, pattern.text + "*" * pattern.open_ended) for pattern in patterns
    )
    assert filed.size == len(patterns)
    for path in paths:
        wanted = {
            text for text, pattern in zip(texts, patterns, strict=True) if pattern.matches(path)
        }
        assert set(filed.matching(path)) == wanted, path
        assert filed.covers(path) is bool(wanted)
