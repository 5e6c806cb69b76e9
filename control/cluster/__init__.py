"""What one process tells the others: its events, and that it has lost some.

bus ─ relay ─ wire ─ Redis
                └─ memory, for tests: kept to the same contract
"""
