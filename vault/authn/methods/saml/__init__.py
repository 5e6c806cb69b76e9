"""Logging in at an identity provider by SAML 2.0."""
