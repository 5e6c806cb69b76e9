"""Compliance: what the system can show an auditor, and how long it keeps what."""
