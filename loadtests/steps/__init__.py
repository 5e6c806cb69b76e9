"""What a request is made of: bytecodes and calls of each function, which no other program disturbs.

A clock says how long a request takes on a machine that others use as well; counts are the same from
run to run. They say where the work is, not what it costs: of two functions with as many steps one
may wait for memory and the other not. So a change is chosen by them, and judged by `make bench`.
"""
