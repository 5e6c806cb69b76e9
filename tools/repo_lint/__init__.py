"""Rules of this repository that no stock linter has, one file a rule: `python -m tools.repo_lint`.

A rule is a function from a `RepoTree` to `Finding`s. Exceptions are lists with a reason beside
each.
"""
