"""The live feed: keyed collections told as snapshots and changes (docs/spec/live.md). Pure."""
