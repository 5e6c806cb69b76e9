"""A differential fuzzer: random calls of Vault's API, answered by OpenBao and by Freehold.

`python -m tests.acceptance.compat.differential` compares for as long as one likes.
"""
