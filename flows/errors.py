"""The exceptions of everything around the engine.

NstError (nst_core.errors)
├── ManifestError     the manifest as a whole cannot be used
├── OutputError       the output prefix cannot be used in the requested way
│   └── OutputBusy    another run is writing to the output
├── LimitsError       the operator's limits file cannot be used
├── ClusterError      the Ray cluster cannot be used
├── HardwareUnknown   torch could not report this machine's hardware, or no process could be started to use it
├── DeviceUnusable    a GPU is full, taken by another process or broken, so that no work can begin on it
├── WorkerDied        a worker process was killed or crashed in the middle of a call
│   └── DeviceLost    every call on the worker's GPU raises an error, so the worker process is ended
├── TookTooLong       a pair was on its device for longer than allowed, or its process hung
├── PoolStopped       the run is being interrupted: pairs without an outcome stay pending
├── ResultsNotKept    results cannot be written to the output any more: ends a run, whose rows stay pending
├── RunIncomplete     (run.finish) selected rows are still pending; carries the run's summary
├── InboxTroubled     (visit_inboxes) an inbox or a manifest could not be processed; carries the others' outcomes
├── ServiceError      the Prefect server did not answer as it should
│   ├── RequestRefused   it answered with a refusal: no such deployment, or parameters of the wrong type
│   └── ServerUnavailable   it did not answer at all, or with its own failure; the same request may succeed later
└── StorageError      a file could not be read or written
    ├── NotFound      the file does not exist
    ├── Forbidden     credentials are missing or do not permit the access
    │   └── CredentialsExpired   credentials that did permit it have expired: the run ends, its rows stay pending
    ├── NotAllowed    the address is one that this project never opens, or that the operator's limits do not allow
    ├── TooLarge      the file has more bytes than the limit
    ├── Archived      the S3 object is in a storage class from which it has to be restored before it can be read
    ├── NotDecoded    the S3 object's Content-Encoding is not supported, or its bytes are not encoded that way
    ├── NotAFile      the address is of a folder, pipe, device or socket instead of a file
    ├── InputChanged  an image was replaced between planning and reading
    └── Unavailable   the storage did not answer as it should; the same call may succeed later
        └── Unreachable   the storage did not answer at all
"""

from collections.abc import Iterator

from nst_core.errors import NstError


def kinds_of(error: type[NstError]) -> Iterator[type[NstError]]:
    """Yield a class of errors and all classes below it."""
    yield error
    for below in error.__subclasses__():
        yield from kinds_of(below)


class ManifestError(NstError):
    """The manifest as a whole cannot be used."""

    kind = "manifest"


class OutputError(NstError):
    """The output prefix cannot be used in the requested way."""

    kind = "output"


class OutputBusy(OutputError):
    """Another run is writing to the output."""

    kind = "busy"
    retryable = True


class LimitsError(NstError):
    """The operator's limits file cannot be used."""

    kind = "limits"


class ClusterError(NstError):
    """The Ray cluster cannot be used: nothing answers, no worker comes up, or its nodes have another version."""

    kind = "cluster"
    retryable = True


class HardwareUnknown(NstError):
    """torch could not report this machine's hardware, or no process could be started to use it. No pair's fault."""

    kind = "hardware"


class DeviceUnusable(NstError):
    """No work can begin on a device because it is full, taken by another process or broken. It is no row's fault."""

    kind = "device"
    retryable = True


class ServiceError(NstError):
    """The Prefect server did not answer as it should."""

    kind = "service"
    retryable = True


class RequestRefused(ServiceError):
    """The Prefect server answered, but refused the request."""

    kind = "refused"
    retryable = False


class ServerUnavailable(ServiceError):
    """The Prefect server did not answer, or failed while it did; the same request may succeed later."""


class StorageError(NstError):
    """A file could not be read or written."""

    kind = "storage"


class NotFound(StorageError):
    """The file does not exist."""

    kind = "not_found"


class Forbidden(StorageError):
    """Credentials are missing or do not permit the access."""

    kind = "forbidden"


class CredentialsExpired(Forbidden):
    """Credentials have expired. It is no row's fault: the run ends, and unfinished rows stay pending."""

    kind = "credentials_expired"


class NotAllowed(StorageError):
    """The address is one that this project never opens, or that the operator's limits do not allow."""

    kind = "not_allowed"


class TooLarge(StorageError):
    """The file has more bytes than the limit."""

    kind = "too_large"


class Archived(StorageError):
    """The S3 object is in an archive (Glacier) and has to be restored before it can be read."""

    kind = "archived"


class NotDecoded(StorageError):
    """The S3 object's `Content-Encoding` is not supported, or its bytes are not encoded that way."""

    kind = "content_encoding"


class NotAFile(StorageError):
    """The address is of a folder, pipe, device or socket; none is ever opened, because opening it may block forever."""

    kind = "not_a_file"


class Unavailable(StorageError):
    """The storage did not answer as it should; the same call may succeed later."""

    kind = "unavailable"
    retryable = True


class Unreachable(Unavailable):
    """The storage did not answer at all."""

    kind = "unreachable"


class InputChanged(StorageError):
    """A content or style image was replaced between planning and reading."""

    kind = "input_changed"
    retryable = True


class WorkerDied(NstError):
    """The worker process was killed or crashed in the middle of a call; the message says how, as far as is known."""

    kind = "worker_died"
    retryable = True


class DeviceLost(WorkerDied):
    """Every call on a GPU raises an error, so another process takes over the pairs that have no outcome yet."""

    kind = "device_lost"


class TookTooLong(NstError):
    """A pair was on its device for longer than allowed, or its process gave no sign of life; the process was killed."""

    kind = "timeout"
    retryable = True


class ResultsNotKept(NstError):
    """Results cannot be written to the output any more. The run ends, and the rows that were not begun stay pending."""

    kind = "results_not_kept"
    retryable = True


class PoolStopped(NstError):
    """The run is being interrupted: no more pairs are taken on, and those in flight are dropped."""

    kind = "interrupted"
    retryable = True
