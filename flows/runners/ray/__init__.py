"""Workers on a Ray cluster: the connection, the actors, and the node's side of them."""
