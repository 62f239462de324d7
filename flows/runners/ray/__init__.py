"""Workers on a Ray cluster, for runs that would take too long on one machine.

    runner    the runner for a cluster: what each worker needs, and how many the cluster can hold
    cluster   the connection to a cluster: without output or telemetry, on loopback if the cluster is this machine's own
    actors    the lifecycle of the actors: request them, check their nodes, replace those that die; the links to them
    actor     the code that runs on a node

Only `cluster` imports Ray itself, when a run needs it.
"""
