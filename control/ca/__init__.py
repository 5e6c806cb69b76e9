"""The control plane's certificate authority: who is let in, for how long, and who no longer.

`store` says what it needs of a store; each service decides inside one of its steps.
"""
