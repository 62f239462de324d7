"""Bulk work around the engine: a manifest in, stylized images and a results table out.

    errors         what can go wrong around the engine
    settings       RunSettings: what belongs to the run, not to the look
    records        the frozen types that cross boundaries
    storage        every byte read or written, local and S3 alike
    manifest       CSV -> Manifest, with every bad row named
    plan           what is left to do, in batches of one style and size
    ledger         OUT/_nst: runs, records and attempts
    results        the results table and the summary, built from the ledger alone
    worker         one pair on one device: read, stylize, commit
    worker_pool    one worker process per device
    tasks, bulk_stylize   the Prefect layer: thin tasks over the functions above
    run            one run without Prefect: prepare it, finish it
    environment    Prefect's own settings, made before it is imported
    cli            the command `nst`

Only `tasks` and `bulk_stylize` import prefect; only `worker` and what imports it import torch.

Importing this package turns Prefect's telemetry off and sets its other defaults, see `environment`: Prefect reads
them once, when it is imported, so they have to be there before.
"""

from flows.environment import set_prefect_defaults

set_prefect_defaults()
