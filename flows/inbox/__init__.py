"""Watch a folder for manifests: each dropped file is claimed once, answered, run, and marked as finished.

inbox          an inbox's configuration, and the result of one visit to it
visit          one visit: takes every manifest of an inbox through as many steps as are possible now
arrivals       which files of a folder are complete
names          which files are manifests, and the names of answers, outputs and claims that derive from theirs
files          the inbox's state as files: claims, starts, finished markers, answers
answers        the contents of the answers that are written next to a manifest
rejected_page  the HTML page that says why a manifest was rejected
finished_page  the HTML page that says how a manifest's run ended
templates      renders these pages with jinja2, from the files in `page/`
runs           the interface through which an inbox starts runs and reads their states

Every step creates a file that did not exist before, so a visit may die anywhere and the next one continues. This
package imports neither Prefect nor torch.
"""

from flows.inbox.arrivals import SETTLE_SECONDS
from flows.inbox.inbox import Inbox, Visit
from flows.inbox.runs import Runs, StartRequest
from flows.inbox.visit import visit

__all__ = [
    "SETTLE_SECONDS",
    "Inbox",
    "Runs",
    "StartRequest",
    "Visit",
    "visit",
]
