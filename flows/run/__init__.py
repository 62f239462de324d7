"""One run without Prefect, from what was asked to its end.

request      what was asked, resolved once: places, limits, manifest, settings
prepare      ... planned, and the plan kept in the output
plan         what is left to do, in batches of one style and size
scheduler         the workers at their batches
batch_queue  which batch a worker does next: of the style that it has warm
dispatch     a batch on a worker, whatever happens to its process
finish       the table from the records, the summary, the mark that no row is left
"""
