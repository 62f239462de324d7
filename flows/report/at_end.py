"""Write the report page at the end of a run, without ever failing the run."""

import logging
from collections.abc import Callable, Sequence

from flows.errors import OutputBusy
from flows.output import Outcome
from flows.records.pairs import Manifest
from flows.records.runs import RunRecord
from flows.report.gather import run_of
from flows.report.run_page import write_page
from flows.wording import printable, redacted

logger = logging.getLogger(__name__)

MOST_ROWS = 2000
"""The most rows for which the page is written automatically: the images of more would delay the end of the run."""


def page_at_end(
    output: str,
    record: RunRecord,
    manifest: Manifest,
    outcomes: Sequence[Outcome],
    *,
    check_hold: Callable[[], None],
) -> str | None:
    """Write the run's page and return its address; None if the run is too large or the page could not be written.

    Args:
        output: the address of the output.
        record: the run.
        manifest: its manifest.
        outcomes: the outcomes of its rows, with their records.
        check_hold: raises OutputBusy if another run has taken over the output, whose page is then left alone.
    """
    rows = len(manifest.pairs) + len(manifest.rejected)
    if rows > MOST_ROWS:
        logger.info("no report.html is made automatically for %d rows: nst report %s", rows, printable(output))
        return None
    try:
        return write_page(run_of(output, record, manifest, tuple(outcomes)), check_hold=check_hold)
    except OutputBusy as error:  # the run was finished before
        logger.warning("report.html was not written: %s", redacted(str(error)))
        return None
    except Exception as error:  # noqa: BLE001  # the run is finished, and `nst report` can write the page later
        logger.warning("report.html could not be written, try `nst report`: %s", redacted(str(error)))
        return None
