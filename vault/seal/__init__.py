"""Sealing: initialize, unseal, seal, and the root key.

`manager` (`SealManager`) keeps the vault sealed or open; `bootstrap` makes the first rows of a new
vault. Opening runs `startup_checks`, which compare database, audit log and anchor (`anchor`) before
anything is changed; `unseal_audit` records it. `root_keys` are the ways to keep the root key,
`root_key_operations` generate a root token, rekey and rotate. `bound_keys` are the functions of the
keyring that audit and authentication get, without the keys.
"""
