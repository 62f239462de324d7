"""What a machine has, what it gives this process, and what a batch takes of it.

hardware    devices and precisions: what is there, and what a wish comes to (no torch)
allowance   the CPUs and the memory that this process may use
footprint   what a batch takes by a plan, counted
memory      which plan that is, with what is free
work        how much there is to compute, in evaluations
runtime     threads, devices and memory of this process
faults      errors of a device, and what they mean
"""
