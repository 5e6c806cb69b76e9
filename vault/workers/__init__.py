"""Several processes on one port: workers that serve, and a leader with what an agent has once.

client ─ worker ─ data path ─ database, by the head; audit log, in turn
            └──── about the agent itself ──── relay lane ─ leader
all ─ page (shared memory: the head, where the log ends, rate limits, lockouts)
"""
