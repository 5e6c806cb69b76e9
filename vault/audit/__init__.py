"""The audit log: every operation on record, tamper-evident, before its result leaves the agent.

A request goes `broker` → `batch` (sequence, hash chain, Merkle tree, signed head) → `sinks`. A
process that does not own the log goes `appender` → `batch` → `sinks`, when `shared_tail` says
so; `feed` tells whoever follows the log of both.
Whoever reads the log later goes `layout` (lines of all segments) → `verify`, `proof`, `query`.
The format is specified in `docs/spec/audit.md`.
"""
