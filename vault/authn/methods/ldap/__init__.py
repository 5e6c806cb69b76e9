"""Logging in with the password of a directory: LDAP and Active Directory."""
