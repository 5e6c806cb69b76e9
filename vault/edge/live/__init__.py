"""The agent's own live feed (docs/spec/live.md): what pages follow while they are open."""
