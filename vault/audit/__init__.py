"""The audit log: every operation on record, tamper-evident, before its result leaves the agent.

A record is written: `broker` (hashes values: `pending_record`) → `writer` (one batch of all that
wait) → `batch` (sequence, hash chain, Merkle tree, signed head) → `replica` (one task a copy) →
`sinks` (files, syslog, the index in the database). A process that does not own the log writes by
`appender`, when `shared_tail` says that it may. `feed` publishes the growth to followers.

At a start `recovery` finds the end of a log by the signed head (`head_file`, `chain_check`), and
`replica.open_sinks` brings all copies to the longest. `retention` says which segments may go.

A log is read: `layout` (lines of all segments) → `verify`, `proof` (no keys needed), and
`verification` for both while the agent serves. `query`, `index_block` and `log_reader` search it.

The format is specified in `docs/spec/audit.md`.
"""
