"""Several agents on one database: which of them does what is done once for all."""
