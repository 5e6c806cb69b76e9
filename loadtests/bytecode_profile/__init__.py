"""What a request is made of: bytecodes and calls of each function.

A clock says how long a request takes on a machine that others use as well; what a request itself
does counts the same from run to run. What a batch shares, or is done behind it, does not: it varies
with how it falls. Counts say where the work is, not what it costs: of two functions with as many
steps one may wait for memory and the other not. So a change is found by them, and judged by a
clock.
"""
