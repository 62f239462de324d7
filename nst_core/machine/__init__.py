"""The hardware of a machine, the share of it that this process may use, and the cost of a batch in memory and time.

hardware    devices and precisions: which exist, and which ones a request selects (no torch)
allowance   the CPUs and the memory that this process may use
footprint   the predicted peak memory of a batch under a given memory plan
memory      the choice of the memory plan, given the free memory
work        the amount of computation, in evaluations
runtime     threads, devices and memory allocator of this process
faults      classification of device errors: out of memory, or a lost device
"""
