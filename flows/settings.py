"""The settings of a run that do not change how an image looks, and the selection of its rows. No torch, no prefect."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from flows import stub
from nst_core.backbones.catalogue import BackboneName
from nst_core.options.numbers_as_text import reader_of

Timeline = Literal["none", "gif", "webp"]
"""The file format of a pair's timeline, an animation of how its pastiche developed."""


class RunSettings(BaseModel):
    """How a run is carried out; the settings are the same for all its pairs. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backbone: BackboneName | Literal["stub"] = "vgg19"
    """The network whose features are compared; stub makes up images, to try out everything but the stylization."""
    stub: str | None = None
    """How the backbone stub behaves, such as "seconds=0.5 kill=ID,ID"; see flows/stub.py."""
    weights: str | None = None
    """A weights file for the backbone, local or on S3, instead of its published one."""
    weights_sha256: str | None = None
    """The sha256 that the weights file must have."""
    device: str = "auto"
    """auto (every GPU, else the CPU), cpu, cuda, or one GPU such as cuda:1."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto is bf16 where the hardware has it; the losses in the table are fp32 whatever this is."""
    pairs_per_task: int = Field(default=256, ge=1, le=1000)
    """Most pairs, of one style and the same options, in one task; how many run at once depends on the device."""
    cpu_workers: int = Field(default=1, ge=1, le=256)
    """Worker processes on a CPU, which share its cores: two are somewhat faster than one for small images."""
    runner: Literal["local", "ray", "inline"] = "local"
    """Where pairs are stylized: local is processes of this machine, ray is the nodes of a Ray cluster. inline is this
    process, one batch after the other, so that a debugger's breakpoints work: a crash ends the run, and no pair can be
    stopped if it takes too long."""
    ray_address: str | None = None
    """ray://HOST:PORT, HOST:PORT or auto; without it, a cluster is started on this machine only."""
    ray_workers: int | None = Field(default=None, ge=1, le=10_000)
    """Most workers requested from a Ray cluster, which may scale up for them; without it, as many as fit now."""
    ray_cpus: int = Field(default=1, ge=1, le=1024)
    """CPUs for each worker on a Ray cluster without GPUs; with GPUs, each worker has one."""
    ray_wait_seconds: float = Field(default=300.0, gt=0.0)
    """How long a run waits for the Ray cluster to give it a worker before it gives up."""
    pair_timeout_seconds: float | None = Field(default=None, gt=0.0)
    """Longest time that a pair may be on its device; after it, the process is killed and the pair fails. Pairs that
    are computed together have as many times as long, and are done one by one after that."""
    stall_seconds: float = Field(default=1800.0, gt=0.0)
    """Longest time without a sign of life, such as a finished step, from a worker process before it is killed.
    Above 2048 px it grows in proportion to the pixels of the image."""
    timeline: Timeline = "none"
    """gif or webp: also write a small animation of how each result developed."""
    wait_for_output_seconds: float = Field(default=0.0, ge=0.0, le=86_400.0)
    """How long to wait while another run is writing to the same output; 0 gives up at once."""
    take_over: bool = False
    """Take the output over from another run at once, without checking whether it is still at work; it then stops."""

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Read a command line argument, which is text, by the setting's type."""
        assert info.field_name is not None, "it is a field's validator"
        return reader_of(cls, info.field_name)(value)

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
    """The rows of a manifest that a run stylizes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    only: tuple[str, ...] = ()
    """Only the pairs with these ids; all pairs if empty."""
    limit: int | None = Field(default=None, ge=1)
    """The largest number of pairs, taken in the order of the manifest."""
    only_failed: bool = False
    """Only the pairs that failed in the output's latest run."""
    max_attempts: int | None = Field(default=None, ge=1)
    """Skip pairs that have failed this many times; None never gives up."""
