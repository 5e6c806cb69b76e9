"""The live feed: what browsers are told while they look (docs/spec/live.md)."""
