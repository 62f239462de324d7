"""Immutable value types shared by all packages: they pass between flow and worker processes, and are stored as JSON.

manifest row -> PairSpec (or RejectedRow) -> Batch -> PairRecord (succeeded) or AttemptRecord (failed) -> table row

    pairs       the rows of a manifest, each valid (PairSpec) or rejected (RejectedRow)
    plans       a run's plan: pairs with their fingerprints, grouped into batches
    attempts    the outcome of one attempt at a pair: an image with its losses, or an error
    runs        the request, the start and the summary of a run
    columns     the columns of the results table and their data types
    layout      the names of the files and folders of an output
    timestamps  wall-clock times for records, monotonic times for durations
    digests     short digests of values
    record      the base class of everything that is stored as JSON

This package imports neither torch nor prefect and does no I/O.
"""
