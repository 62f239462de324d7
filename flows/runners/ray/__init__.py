"""Workers on a Ray cluster, for runs that one machine would take too long for.

runner    what a run is done with there
cluster   the connection: quiet, without telemetry, on loopback where the cluster is our own
actors    who comes up on the cluster, is checked, dies and is asked for again; the links to them
actor     the node's side

Ray itself is imported in `cluster` alone, when a run asks for it.
"""
