"""Bulk work around the engine: a manifest in, stylized images and a results table out.

From the top down; each room imports only what stands below it:

    cli/             the command `nst`
    bulk_stylize, visit_inboxes   the two flows
    prefect_layer/   all else that knows Prefect: tasks, artifacts, servers, deployments
    run/             one run without Prefect: what was asked, the plan, each batch carried out, the end
    watching/        who is told as a run goes on: a terminal, a program, the log, Prometheus
    inbox/           manifests that are dropped: claimed once, answered, run, marked as finished
    report/          pages and contact sheets of what a run made
    export/          its finished pictures as a dataset
    runners/         where batches are done: processes of this machine, actors on a Ray cluster, or this process
    worker/          one batch on one device: load, stylize several pairs at once, commit
    output/          what a run leaves and finds again below OUT: records, lease, table, garbage
    manifest/        a table -> Manifest: every row a pair, or rejected with all that is wrong with it
    limits           what the operator allows: places, rows, bytes, options
    storage/         every byte read or written, local and S3 alike
    records/         the frozen types that cross boundaries
    settings         RunSettings: what belongs to the run, not to the look; Selection: which rows
    interpreter      Python in a process of its own, with our packages
    environment      what our processes find around them: Prefect's settings, proxies, places for state
    spreadsheets     what a spreadsheet makes of a cell, and the `'` that keeps it as it is
    errors, wording, stub   what can go wrong; words for people; the backbone that makes pictures up

Only the Prefect layer, the flows and the command import prefect; torch is imported in worker processes alone, but for
`inline`, a run in a debugger.

Importing this package turns Prefect's telemetry off and sets its other defaults, see `environment`: Prefect reads
them once, when it is imported, so they have to be there before.
"""

from flows.environment import keep_loopback_off_proxies, set_prefect_defaults

set_prefect_defaults()
keep_loopback_off_proxies()
