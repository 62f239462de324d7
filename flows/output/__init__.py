"""What a run leaves and finds again below OUT.

    ledger     what was asked, what is done and what failed: the durable truth
    snapshot   many records in one file, to go on sooner
    latest     the latest run, with the manifest from the copy that it kept
    outcomes   what became of each row of a manifest; every record is parsed here, once
    results    the table of the outcomes
    selected   its rows in an order, its columns by name
    conditions which of its rows a condition is true of
    again      those in trouble as a manifest of their own
    history    how the losses fell, of all pairs together
    lease      one run at a time, as an aid: lease_file is what it says, lease_watch whether its holder is at work
    garbage    what lies there for nothing
    ours       whether what lies there came from runs

Knows neither torch nor prefect; pandas is imported where a table is written, and nowhere else.
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
