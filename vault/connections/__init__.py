"""Connections to database servers and Redis: what the store, rotators and leases have in common."""
