"""Login methods: one file or small package each, from what a caller shows to who it is.

`method` is the interface. A method knows its configuration and its entries (roles, users, …) and
asks its source; it writes no tokens. `vault.authn.logins` does for all what a login has in common:
lockout, breaker, entity, token.
"""
