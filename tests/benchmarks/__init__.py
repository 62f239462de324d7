"""Benchmarks of speed, loss and memory. Each script is one command, such as `python -m tests.benchmarks.peers`.

`README.md` in this folder says how to run them and why they are fair, and shows the results.
"""
