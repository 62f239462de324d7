"""flows.worker.failures: an error becomes the record of a failed attempt, unless it is no pair's fault."""

from flows.errors import CredentialsExpired
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord
from flows.records.timestamps import Moment
from flows.worker.failures import keep_failure
from flows.worker.job import Job
from flows.worker.messages import LeftPending
from tests.flows.builders import FINGERPRINT, pair_spec, planned


def test_expired_credentials_leave_a_pair_pending(job: Job) -> None:
    """No attempt is recorded, even if the output is on a disk: the pair is done once the credentials are renewed."""
    pair = planned(pair_spec())
    kept = keep_failure(pair, job, CredentialsExpired("token"), device="cpu", began=Moment.now())

    assert isinstance(kept, LeftPending)
    assert (kept.pair_id, kept.kind) == ("pair-2", "credentials_expired")
    assert Ledger(job.output).index().attempts == {}


def test_a_memory_error_becomes_a_retryable_attempt(job: Job) -> None:
    """Python's `MemoryError` has neither a pair nor a kind: the attempt gets both, and counts as retryable."""
    kept = keep_failure(planned(pair_spec()), job, MemoryError(), device="cpu", began=Moment.now())

    assert isinstance(kept, AttemptRecord)
    assert (kept.error_kind, kept.retryable) == ("out_of_memory", True)
    assert kept.error == "/in/cat.png: too little memory to stylize or write it"
    assert Ledger(job.output).read_attempt(("pair-2", FINGERPRINT), 1) == kept
