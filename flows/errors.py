"""What can go wrong around the engine.

NstError (nst_core.errors)
├── ManifestError     the manifest as a whole cannot be used
├── OutputError       the output prefix cannot be used as asked
│   └── OutputBusy    another run is writing there
├── LimitsError       the operator's limits file cannot be used
├── ClusterError      the Ray cluster cannot be used
├── HardwareUnknown   torch could not be asked what this machine has, or no process be started to use it
├── DeviceUnusable    a GPU is full, taken or broken, so that no work begins there
├── WorkerDied        a worker process was killed or crashed in the middle of a call
│   └── DeviceLost    its GPU raises errors alone, so that it is ended
├── TookTooLong       a pair was on its device for longer than allowed, or its process hung
├── PoolStopped       the run is being interrupted: what has no outcome stays pending
├── ResultsNotKept    results cannot be written to the output any more: ends a run, whose rows stay pending
├── RunIncomplete     (run.finish) selected rows are still pending; carries the run's summary
├── InboxTroubled     (visit_inboxes) an inbox or a manifest could not be dealt with; carries what became of the others
├── ServiceError      the Prefect server did not answer as it should
│   └── RequestRefused   it answered, and refused: no such deployment, or parameters of the wrong type
└── StorageError      a file could not be read or written
    ├── NotFound      there is no such file
    ├── Forbidden     credentials are missing or do not allow it
    │   └── CredentialsExpired   they did allow it, and have run out: ends a run, whose rows stay pending
    ├── NotAllowed    an address that this project never opens, or that the operator's limits keep closed
    ├── TooLarge      more bytes than the limit
    ├── Archived      on S3, in a class that has to be restored before it can be read
    ├── NotDecoded    on S3, with a Content-Encoding that is not read, or that its bytes do not have
    ├── NotAFile      a folder, pipe, device or socket in place of a file
    ├── InputChanged  a picture was replaced between planning and reading
    └── Unavailable   the storage did not answer as it should; the same call may succeed later
        └── Unreachable   it did not answer at all
"""

from nst_core.errors import NstError


class ManifestError(NstError):
    """The manifest as a whole cannot be used."""

    kind = "manifest"


class OutputError(NstError):
    """The output prefix cannot be used as asked."""

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
    """torch could not be asked what this machine has, or no process could be started to use it. No pair's fault."""

    kind = "hardware"


class DeviceUnusable(NstError):
    """A device on which no work can begin, as it is full, taken by another process or broken. No row's fault."""

    kind = "device"
    retryable = True


class ServiceError(NstError):
    """The Prefect server did not answer as it should."""

    kind = "service"
    retryable = True


class RequestRefused(ServiceError):
    """The Prefect server answered, and refused what was asked for."""

    kind = "refused"
    retryable = False


class StorageError(NstError):
    """A file could not be read or written."""

    kind = "storage"


class NotFound(StorageError):
    """There is no such file."""

    kind = "not_found"


class Forbidden(StorageError):
    """Credentials are missing or do not allow it."""

    kind = "forbidden"


class CredentialsExpired(Forbidden):
    """Credentials have run out. No row's fault: the run ends, and what is left stays pending."""

    kind = "credentials_expired"


class NotAllowed(StorageError):
    """An address that this project never opens, or that the operator's limits keep closed."""

    kind = "not_allowed"


class TooLarge(StorageError):
    """More bytes than the limit."""

    kind = "too_large"


class Archived(StorageError):
    """An object of S3 that is in an archive (Glacier): it has to be restored before it can be read."""

    kind = "archived"


class NotDecoded(StorageError):
    """An object of S3 whose `Content-Encoding` is not read here, or is not that of its bytes."""

    kind = "content_encoding"


class NotAFile(StorageError):
    """A folder, pipe, device or socket in place of a file; none of them is ever opened, as that may wait for ever."""

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
    """The worker process was killed or crashed in the middle of a call; its message says how, as far as can be told."""

    kind = "worker_died"
    retryable = True


class DeviceLost(WorkerDied):
    """A GPU that raises errors alone, whatever its process asks of it: another process does what has no outcome."""

    kind = "device_lost"


class TookTooLong(NstError):
    """A pair was on its device for longer than allowed, or its process gave no sign of life; it was killed."""

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
