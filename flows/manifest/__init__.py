"""A CSV -> Manifest: every row a pair, or rejected with all that is wrong with it."""
