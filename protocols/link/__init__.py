"""The link between an agent and its control plane: docs/spec/link.md, without I/O."""
