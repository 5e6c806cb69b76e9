"""Where audit records go: files (durable, required), syslog and the database index (followers)."""
