"""Where backups are kept: folders, buckets of object stores, and servers that speak SFTP."""
