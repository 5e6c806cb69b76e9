"""What the control plane does: pure decisions, and services that apply them to the store.

A service's method that a message of an agent leads to is also there as a function of a transaction
(`Tx` first), so that the link can apply the message and its number in one.
"""
