"""Traces of requests: the traced pipeline and what chooses it."""
