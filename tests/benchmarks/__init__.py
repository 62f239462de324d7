"""How fast, at what loss, in how much memory: each script is one command, `python -m tests.benchmarks.peers`.

`README.md` beside this file says how to run them, why they are fair, and what came out.
"""
