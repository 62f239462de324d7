"""OUT/_nst/lease.json: who holds an output, as it is written and read; other places have a file of another name."""

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
"""Tells this process from an earlier one of the same number on a machine of the same name, as containers have."""


@dataclass(frozen=True)
class Writer:
    """A kind of program that holds a place while it writes there.

    Attributes:
        name, place: what it is, and what it writes into, in messages.
        file: of the lease, below the place.
        when_busy: what to do where another of its kind is at work, in whole sentences.
        at_once: how not to wait for one that may be dead; empty where there is no way.
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
    """Who holds an output. Every renewal has a higher beat.

    Attributes:
        machine: the boot and the process numbers that `pid` belongs to; empty where that cannot be told.
        renewed_at: by the holder's clock, which may be wrong by years.
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
        """The holder in words."""
        return f"process {self.pid} on {printable(self.host)}"

    def is_gone(self) -> bool:
        """Whether the holder's process ended without a word, where that can be told: on this machine."""
        if self.host != socket.gethostname() or (self.machine and self.machine != _machine()):
            return False
        if self.pid == os.getpid():
            return self.process != PROCESS
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):  # it is there, and somebody else's
            return False
        return False


@dataclass(frozen=True)
class Found:
    """The file as it was read.

    Attributes:
        lease: that it holds; None where it is damaged.
        version: of the file, for whoever writes it anew.
    """

    lease: Lease | None
    version: str


def address_of(output: str, by: Writer = RUN) -> str:
    """Where the lease on an output, or another place, is."""
    return storage.join(output, by.file)


def new_lease(term_seconds: float) -> Lease:
    """A lease of this process."""
    return Lease(
        holder=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        process=PROCESS,
        machine=_machine(),
        renewed_at=time.time(),
        term_seconds=term_seconds,
    )


def found_at(address: str) -> Found | None:
    """The file of a lease; None where there is none."""
    try:
        data, version = storage.read_with_version(address)
    except NotFound:
        return None
    try:
        return Found(Lease.model_validate_json(data), version)
    except ValidationError:
        return Found(None, version)


def as_json(lease: Lease) -> bytes:
    """What the file holds."""
    return lease.model_dump_json(indent=1).encode()


def _machine() -> str:
    """Containers may share a name, and none of their process numbers."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    return ""
