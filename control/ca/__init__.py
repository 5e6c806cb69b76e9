"""The control plane's certificate authority: who is let in, for how long, and who no longer.

`ledger` says what it needs of a store; each service decides inside one of the ledger's steps.
"""
