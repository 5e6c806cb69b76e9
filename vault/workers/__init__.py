"""Several processes on one port: a leader that writes, workers that read.

client ─ worker ─ read ──────────── audit lane ─┐
            └──── anything else ─── relay lane ─┴─ leader ─ store, audit log
leader ─ page (shared memory: what is being written, whether it is open) ─ every worker
"""
