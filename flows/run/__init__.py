"""One run, independent of Prefect: from the caller's request to the results table.

The life of a run, as a chain of types and the functions that make them:

    RunArguments what the caller passed: addresses, options, settings, selection
    RunRequest   request.resolve: the manifest parsed, all addresses checked against the operator's limits
    PreparedRun  prepare.prepare_run: a RunPlan (the batches to do) and a RunRecord (the request, stored in the output)
    BegunRun     begin.begun: a PreparedRun with the output's lease and a pool of workers, for scheduler.BatchScheduler
    RunStarted   PreparedRun.started: the first message to everything that watches the run: terminal, log, metrics
    FinishedRun  finish.finish_run: the rows of the results table and the RunSummary (the run in numbers)

Modules:

    request      resolve a request once: addresses, limits, manifest, settings
    begin        take the output's lease, plan the run and start its workers
    prepare      plan a run and store the plan in the output
    plan         find the pairs that are left to do and group them into batches of one style and size
    scheduler    hand batches to idle workers and carry them out
    batch_queue  choose the next batch for a worker: one of the style that it has cached, if any
    dispatch     carry out one batch on a worker process, and recover if the process dies or hangs
    finish       write the results table from the records, the summary and the marker `_SUCCESS`
"""
