"""Two commits of Freehold in turns: whether a change made anything quicker.

The machine has hours in which everything takes a third longer, and a difference of a tenth between
two runs is none. So both stand side by side, each has its turn in each round while the other one
stands still, and what counts is the median of the rounds' ratios. Who comes first changes with each
round. Of the same code beside itself it told 0.975 and 0.981 for writes and 1.025 for reads: a
difference of some 3 % is none.
"""
