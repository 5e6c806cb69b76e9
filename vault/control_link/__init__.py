"""The agent's side of the link: identity, outbox, egress ledger, the control plane's policies.

All of it can be away for weeks without the vault noticing: nothing of the data path waits for it.
What it keeps is in files of its own beside the vault's data, readable while the vault is sealed.
"""
