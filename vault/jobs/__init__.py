"""Background work: actors that do what no request asks for."""
