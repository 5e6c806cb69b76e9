"""What the system can show: one subject a file, each a function of a transaction and a period."""
