"""One run without Prefect: planned, prepared, each batch dispatched."""
