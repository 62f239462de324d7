"""The file of a lease, as JSON: OUT/_nst/lease.json for an output, a file of another name for other folders."""

import os
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows import storage
from flows.errors import NotFound
from flows.records import layout
from flows.wording import printable

PROCESS = uuid.uuid4().hex
"""Random id of this process. Containers may share a host name and reuse process ids: this id tells the processes
apart."""


@dataclass(frozen=True)
class Writer:
    """A kind of program that holds a lease on a folder while it writes there.

    Attributes:
        name: what messages call the program.
        place: what messages call the folder it writes into.
        file: name of the lease file below that folder.
        when_busy: whole sentences for the user on what to do while another program of this kind is writing.
        at_once: a hint for messages on how not to wait for a holder that may be dead; empty if that is not possible.
    """

    name: str
    place: str
    file: str
    when_busy: str
    at_once: str = ""


RUN = Writer(
    "run",
    "output",
    layout.LEASE,
    "Wait for it to end, or let this command wait: --wait-for-output-seconds 600. If you know that it is dead, or is "
    "to stop: --take-over",
    "--take-over does not wait",
)


class Lease(BaseModel):
    """The holder of an output and its last renewal.

    Attributes:
        holder: random id of this hold: it is another one when the same process acquires the lease again.
        host: host name of the holder's machine.
        pid: process id of the holder.
        process: `PROCESS` of the holder.
        machine: the boot id and the pid namespace in which `pid` is valid; empty where that is unknown.
        beat: number of renewals so far.
        renewed_at: Unix time of the last renewal by the holder's clock, which may be wrong by years.
        term_seconds: the time after which a lease that was not renewed is free.
        released: whether the holder has released it.
    """

    model_config = ConfigDict(frozen=True)

    holder: str
    host: str
    pid: int
    process: str
    machine: str = ""
    beat: int = 0
    renewed_at: float
    term_seconds: float = Field(gt=0.0, allow_inf_nan=False)
    released: bool = False

    @property
    def whose(self) -> str:
        """The holder as messages name it."""
        return f"process {self.pid} on {printable(self.host)}"

    def is_gone(self) -> bool:
        """Tell whether the holder's process has ended without releasing; always False for one on another machine."""
        if self.host != socket.gethostname() or (self.machine and self.machine != _machine()):
            return False
        if self.pid == os.getpid():
            return self.process != PROCESS
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):  # it exists, and belongs to another user
            return False
        return False


@dataclass(frozen=True)
class LeaseFile:
    """A lease file as it was read.

    Attributes:
        lease: the lease in the file; None if the file is damaged.
        version: version of the file, for a compare-and-swap.
    """

    lease: Lease | None
    version: str


def address_of(output: str, by: Writer = RUN) -> str:
    """Return the address of the lease on an output or another folder."""
    return storage.join(output, by.file)


def new_lease(term_seconds: float) -> Lease:
    """Return a new lease with this process as its holder."""
    return Lease(
        holder=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        process=PROCESS,
        machine=_machine(),
        renewed_at=time.time(),
        term_seconds=term_seconds,
    )


def read_lease(address: str) -> LeaseFile | None:
    """Read the file of a lease; None if it does not exist."""
    try:
        data, version = storage.read_with_version(address)
    except NotFound:
        return None
    try:
        return LeaseFile(Lease.model_validate_json(data), version)
    except ValidationError:
        return LeaseFile(None, version)


def as_json(lease: Lease) -> bytes:
    """Return the contents of a lease file."""
    return lease.model_dump_json(indent=1).encode()


def _machine() -> str:
    """Return the boot id and the pid namespace of this process: containers may share a host name, but not pids."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    return ""
