"""Rotation: credentials at their targets, changed so that no application notices."""
