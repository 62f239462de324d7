"""Bulk work around the engine: a manifest in, stylized images and a results table out.

    errors           what can go wrong around the engine
    settings         RunSettings: what belongs to the run, not to the look; Selection: which rows
    records          the frozen types that cross boundaries
    storage/         every byte read or written, local and S3 alike
    csv_rows         CSV bytes -> numbered rows
    manifest         numbered rows -> Manifest, with every bad row named
    limits           what the operator allows: places, rows, bytes, options
    refusals         the rows that the limits refuse become rejected rows
    manifest_source  a manifest from its address, or from the snapshot of an earlier run
    ledger           OUT/_nst: runs, records and attempts: the durable truth
    snapshot         a copy of many records in one file, to go on sooner
    lease            keeps two runs from doing the same work; an aid, never a guard
    garbage          what lies in an output for nothing
    plan             what is left to do, in batches of one style and size
    results          the results table, built from the ledger alone
    worker/          one batch on one device: load, stylize several pairs at once, commit
    mailbox          messages out of a worker process while it works
    worker_log       its log lines, said by the process that drives it
    worker_pool      one worker process per device
    batch_queue      which batch a worker does next: of the style that it has warm
    runners, choose_runner   what a run needs of wherever its batches are done
    ray_runner, ray_pool, ray_actor, ray_cluster   ... on a Ray cluster: the run's side, the node's side, the connection
    local_hardware   what this machine has to compute with, asked of a process of its own
    weights, code_version   the weights file on the machine that needs it; which code that machine has
    dispatch         a batch on a worker process, also where the process dies
    run              one run without Prefect: prepare it, finish it
    arrivals         which files of a folder have arrived whole
    inbox_files, inbox    manifests that are dropped: claimed once, answered, run, marked as finished
    run_states       how a run of a deployment stands, and which error ended it
    tasks, bulk_stylize   the Prefect layer: thin tasks over the functions above
    deployment_runs, inbox_flow   its runs through the API, and the scheduled visit to the inboxes
    service, serve   a Prefect server for one machine, and all deployments served from one process
    environment      Prefect's own settings, made before it is imported
    report/          pages and contact sheets of what a run made
    progress, terminal, artifacts   where a run stands: for listeners, in a terminal, in Prefect's UI
    metrics, operators_listeners    ... for Prometheus, and what the operator's environment asks for
    split            a manifest cut into parts
    cli, cli_report, cli_service, cli_split   the command `nst`
    cli_options, option_errors   its options made from the types, its errors in words

Only the Prefect layer imports prefect; torch is imported in worker processes alone.

Importing this package turns Prefect's telemetry off and sets its other defaults, see `environment`: Prefect reads
them once, when it is imported, so they have to be there before.
"""

from flows.environment import set_prefect_defaults

set_prefect_defaults()
