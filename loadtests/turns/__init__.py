"""Two commits of Freehold in turns: whether a change made anything quicker.

The machine has hours in which everything takes a third longer, and a difference of a tenth between
two runs is none. So both stand side by side, each has its turn in each round while the other one
stands still, and what counts is the median of the rounds' ratios.
"""
