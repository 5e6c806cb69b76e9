"""What went over a network, read from a capture: packets, TCP streams, TLS 1.3, messages."""
