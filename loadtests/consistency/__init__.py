"""A linearizability check of several agents on one database, or several workers on one file.

Clients write, read and list through all agents at once and note when each request was sent and
answered. `checker` then looks for an answer that no order of the requests explains.
"""
