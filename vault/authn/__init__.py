"""From a credential to an identity, and the lives of credentials: one kind a file."""
