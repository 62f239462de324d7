"""The results and the state of an output: records, attempts, plans, the results table and the lease.

    conditions   filters rows of the table by a condition such as `style_loss > 0.05`
    failed_rows  writes the failed and rejected rows as a manifest of their own
    garbage      finds and removes files that nothing refers to
    history      writes history.parquet: the losses of all pairs, evaluation by evaluation
    latest       reads the latest run and its manifest, from the copy that the run kept
    lease        lets one run at a time work on an output, as an optimisation
    lease_file   parses and formats the file of a lease
    lease_watch  decides whether the holder of a lease is still alive
    ledger       reads and writes OUT/_nst: run plans, records and failed attempts, the durable truth
    outcomes     joins each row of a manifest with its record or attempt; the only place where all records are parsed
    ownership    checks that the files in an output were written by runs
    results      builds the results table and writes it as CSV and Parquet
    selection    sorts rows of the table and looks columns up by name
    snapshot     packs many records into one file, so that the next run starts sooner

Imports neither torch nor prefect; pandas is imported only where a table is written.
"""

from flows.output import lease
from flows.output.latest import latest_run
from flows.output.ledger import Ledger, LedgerIndex, PairKey, key_of
from flows.output.outcomes import Outcome, Row, outcomes
from flows.output.results import TableFiles, counts, table_rows, write_tables

__all__ = [
    "Ledger",
    "LedgerIndex",
    "Outcome",
    "PairKey",
    "Row",
    "TableFiles",
    "counts",
    "key_of",
    "latest_run",
    "lease",
    "outcomes",
    "table_rows",
    "write_tables",
]
