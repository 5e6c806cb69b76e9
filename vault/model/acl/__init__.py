"""Policies in Vault's language: their text, what it says, and what is asked of them."""
