"""flows.worker.failures: an error becomes the record of a failed attempt, unless it is no row's fault."""

from flows.errors import CredentialsExpired
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord
from flows.records.timestamps import Moment
from flows.worker.failures import keep_failure
from flows.worker.job import Job
from flows.worker.messages import LeftPending
from tests.flows.builders import FINGERPRINT, pair_spec, planned


def test_credentials_that_ran_out_leave_a_pair_pending(job: Job) -> None:
    """Also where the output is on a disk, and an attempt could be kept: the row is done once they are renewed."""
    pair = planned(pair_spec())
    kept = keep_failure(pair, job, CredentialsExpired("token"), device="cpu", began=Moment.now())

    assert isinstance(kept, LeftPending)
    assert (kept.pair_id, kept.kind) == ("pair-2", "credentials_expired")
    assert Ledger(job.output).index().attempts == {}


def test_lack_of_memory_is_told_as_such(job: Job) -> None:
    """Python's own error for it names no pair and has no kind: the attempt has both, and is worth another."""
    kept = keep_failure(planned(pair_spec()), job, MemoryError(), device="cpu", began=Moment.now())

    assert isinstance(kept, AttemptRecord)
    assert (kept.error_kind, kept.retryable) == ("out_of_memory", True)
    assert kept.error == "/in/cat.png: too little memory to stylize or write it"
    assert Ledger(job.output).read_attempt(("pair-2", FINGERPRINT), 1) == kept
