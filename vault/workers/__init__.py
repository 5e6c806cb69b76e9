"""Several processes on one port: a leader that writes, workers that read.

client ─ worker ─ read ─ audit log, in turn with all others; or audit lane ─┐
            └──── anything else ──────────────────────────────── relay lane ─┴─ leader ─ store, log
leader ─ page (shared memory: what is being written, where the log ends) ─ every worker
"""
