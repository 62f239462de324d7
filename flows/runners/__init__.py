"""Where batches are done: processes of this machine, or actors on a Ray cluster."""
