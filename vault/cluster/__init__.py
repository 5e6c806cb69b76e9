"""Several agents on one database: leases of what is done once for all, and shared rate limits."""
