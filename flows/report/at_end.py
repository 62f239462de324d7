"""The page that a run writes at its end by itself."""

import logging
from collections.abc import Sequence

from flows.output import Outcome
from flows.records.pairs import Manifest
from flows.records.runs import RunRecord
from flows.report.gather import run_of
from flows.report.run_page import write_page
from flows.wording import printable, redacted

logger = logging.getLogger(__name__)

MOST_ROWS = 2000
"""Beyond that, the pictures of the page take longer than one would wait at the end of a run."""


def page_at_end(output: str, record: RunRecord, manifest: Manifest, outcomes: Sequence[Outcome]) -> str | None:
    """The address of the run's page, if there is one; whatever goes wrong with it, the run itself is done."""
    rows = len(manifest.pairs) + len(manifest.rejected)
    if rows > MOST_ROWS:
        logger.info("no report.html of %d rows is made by itself: nst report %s", rows, printable(output))
        return None
    try:
        return write_page(run_of(output, record, manifest, tuple(outcomes)))
    except Exception as error:  # noqa: BLE001  # it can be made again at any time, by `nst report`
        logger.warning("report.html could not be written, try `nst report`: %s", redacted(str(error)))
        return None
