"""The frozen types that cross boundaries: from manifest to plan, to the worker and back, and into files.

manifest row -> PairSpec (or RejectedRow) -> Batch -> PairRecord (it is done) or AttemptRecord (it failed) -> table row

    pairs     rows of a manifest, as pairs or refused
    plans     what a run is to do
    attempts  what came of a pair: its picture and losses, or its error
    runs      what a run was asked to do, and its end in numbers
    columns   of the results table
    moments   when something was
    digests   short names for values
    record    what all of them are that lie in files

No torch, no prefect, no I/O.
"""
