"""Bulk stylization around the engine: it reads a manifest and writes stylized images and a results table.

The packages and modules, from the top down; each one imports only those listed below it:

    cli/             the command `nst`
    bulk_stylize, visit_inboxes   the two Prefect flows
    prefect_layer/   everything else that uses Prefect: tasks, artifacts, servers, deployments
    run/             one run without Prefect: resolving the request, planning, carrying out the batches, finishing
    watching/        watchers of a run's progress: terminal, JSON lines, log, Prometheus metrics
    inbox/           watched folders: a manifest put there is claimed once, answered, run and marked as finished
    report/          HTML pages and contact sheets of a run's results
    export/          a run's finished images as a dataset
    runners/         where batches are executed: processes of this machine, actors on a Ray cluster, or this process
    worker/          one batch on one device: load, stylize several pairs at once, commit
    decoding/        decoding images in subprocesses, under a time and a memory limit
    costs/           the time that a run will take (estimate) and the time that it took
    output/          the files of a run below OUT: records, lease, results table, garbage
    manifest/        parsing a table into a Manifest, in which each row is a pair or rejected with all its faults
    limits           what the operator allows: places, rows, bytes, options
    storage/         reading and writing files, local and S3 alike
    records/         the frozen types that cross process and file boundaries
    settings         RunSettings: how a run is carried out, as opposed to how its images look; Selection: which rows
    interpreter      the command line of a Python subprocess that can import our packages
    environment      environment variables that our processes depend on: Prefect's settings, proxies, state folders
    spreadsheets     which cells a spreadsheet changes or runs, and the leading `'` that prevents it
    clock            the clock of time limits, which stands still while the process is stopped
    errors, wording, stub   the exceptions; helpers for messages; the backbone that generates made-up images

Only prefect_layer, the two flows and the command import prefect. Only worker processes import torch, except in a run
with the runner `inline`, which is meant for a debugger.

Importing this package turns Prefect's telemetry off and sets its other defaults (see `environment`): Prefect reads its
settings once, when it is imported, so they have to be set before that.
"""

from flows.environment import keep_loopback_off_proxies, refuse_windows, set_prefect_defaults

refuse_windows()
set_prefect_defaults()
keep_loopback_off_proxies()
