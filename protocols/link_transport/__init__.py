"""The link's connections: mutual TLS, the upgrade to a websocket, sockets, and memory for tests."""
