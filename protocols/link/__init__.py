"""The link between an agent and its control plane: docs/spec/link.md, sans-IO but for stream.py."""
