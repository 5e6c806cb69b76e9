"""The wire side of the agent: dialects that translate requests to operations, and back."""
