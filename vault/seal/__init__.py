"""Opening and closing a vault: init, unseal, seal, start-up checks, the root key."""
