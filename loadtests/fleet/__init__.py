"""A fleet of simulated agents over real TLS, on one control plane: what it costs from 100 up."""
