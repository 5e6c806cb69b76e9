"""The Vault-compatible API under `/v1`, as OpenBao 2.7 speaks it: one file a noun.

A route is a function in a file's `routes`; `dialect` joins them and says how requests and errors
look. Everything behind it is shared with the native API: the same secrets, tokens and policies.
"""

from vault.edge.compat.dialect import CompatDialect as CompatDialect
