"""What belongs to a run and its machine, not to the look of a picture. No torch, no prefect."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from flows import stub
from nst_core.backbones.catalogue import BackboneName
from nst_core.options.numbers_as_text import real_number, whole_number

Timeline = Literal["none", "gif", "webp"]


class RunSettings(BaseModel):
    """How a run is carried out. One value for all its pairs; frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backbone: BackboneName | Literal["stub"] = "vgg19"
    """The network whose features are compared; stub makes pictures up, to try out everything but the stylization."""
    stub: str | None = None
    """How the backbone stub behaves, such as "seconds=0.5 kill=ID,ID"; see flows/stub.py."""
    weights: str | None = None
    """A weights file for the backbone, local or on S3, in place of its published one."""
    weights_sha256: str | None = None
    """The sha256 that the weights file must have."""
    device: str = "auto"
    """auto (every GPU, else the CPU), cpu, cuda, or one GPU such as cuda:1."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto is bf16 where the hardware has it; the losses in the table are fp32 whatever this is."""
    pairs_per_task: int = Field(default=256, ge=1, le=1000)
    """Pairs of one style and options that one task does at most; how many of them at once, its device decides."""
    cpu_workers: int = Field(default=1, ge=1, le=256)
    """Worker processes of a CPU, which share its cores: two are somewhat faster than one for small pictures."""
    runner: Literal["local", "ray", "inline"] = "local"
    """Where pairs are stylized: local is processes of this machine, ray is the nodes of a Ray cluster. inline is this
    process, one batch after the other, so that a debugger's breakpoints work: a crash ends the run, and no pair can be
    stopped for taking too long."""
    ray_address: str | None = None
    """ray://HOST:PORT, HOST:PORT or auto; without it a cluster is started on this machine alone."""
    ray_workers: int | None = Field(default=None, ge=1, le=10_000)
    """Most workers asked of a Ray cluster, which may grow for them; without it, as many as it has room for now."""
    ray_cpus: int = Field(default=1, ge=1, le=1024)
    """CPUs of each worker on a Ray cluster without GPUs; otherwise each has one GPU."""
    ray_wait_seconds: float = Field(default=300.0, gt=0.0)
    """How long a run waits while the Ray cluster has no worker for it, before it gives up."""
    pair_timeout_seconds: float | None = Field(default=None, gt=0.0)
    """Longest time that a pair may be on its device; its process is then killed, and the pair failed."""
    stall_seconds: float = Field(default=1800.0, gt=0.0)
    """Longest time without a sign of life from a worker process, after which it is killed; a step is such a sign.
    Beyond 2048 px it is longer by as much as a picture has more pixels."""
    timeline: Timeline = "none"
    """gif or webp: also write a small moving picture of how each pastiche came to be."""
    wait_for_output_seconds: float = Field(default=0.0, ge=0.0, le=86_400.0)
    """How long to wait while another run is writing to the same output; 0 leaves at once."""
    take_over: bool = False
    """Take the output from another run at once, without waiting to see whether it is still at work; it then stops."""

    _whole_numbers = field_validator("pairs_per_task", "cpu_workers", "ray_workers", "ray_cpus", mode="before")(
        whole_number
    )
    _real_numbers = field_validator(
        *("ray_wait_seconds", "pair_timeout_seconds", "stall_seconds", "wait_for_output_seconds"), mode="before"
    )(real_number)

    @field_validator("stub")
    @classmethod
    def _is_stub(cls, value: str | None) -> str | None:
        if value is not None:
            stub.Stub.parsed(value)
        return value

    @field_validator("weights_sha256")
    @classmethod
    def _is_sha256(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[0-9a-fA-F]{64}", value):
            raise ValueError(f"expected a sha256 of 64 hex digits, got {value!r}")
        return value

    @field_validator("device")
    @classmethod
    def _is_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError(f"expected auto, cpu, cuda or one GPU such as cuda:1, got {value!r}")
        return value


class Selection(BaseModel):
    """Which rows of a manifest a run takes on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    only: tuple[str, ...] = ()
    """Only the pairs of these ids; all of them if empty."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many pairs, in the order of the manifest."""
    only_failed: bool = False
    """Only the pairs that failed in the output's latest run."""
    max_attempts: int | None = Field(default=None, ge=1)
    """Leave alone what has failed so many times; None never gives up."""
