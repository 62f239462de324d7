"""Seconds in each kind of torch's operators, from a clock around every call; on a CPU a call returns when it is done.

Torch's profiler is not used: it records every call, which slows short operators down far more than long ones.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

OTHER = "copies, sums, the rest"
KINDS = (
    ("convolutions", ("convolution", "nnpack")),
    ("rectifiers", ("threshold", "clamp", "relu")),
    ("pooling", ("pool", "maximum", "bitwise")),
    ("Gram matrices", ("bmm", "matmul")),
)
"""Kind -> parts of the names of its operators."""

OF_BITS = (("rectifiers", ("mul",)), ("pooling", ("sub",)))
"""The same for the operators on 16-bit integers, which only `nst_core.backbones.bf16_cpu` uses."""

ALL = (*(kind for kind, _ in KINDS), OTHER)


class OperatorTimes(TorchDispatchMode):
    """Adds up the seconds of all operators that are called within it.

    Attributes:
        seconds: kind -> seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,  # required by torch, not used
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call one operator."""
        began = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        self.seconds[_kind(str(func), args)] += time.perf_counter() - began
        return result


def _kind(operator: str, args: tuple[Any, ...]) -> str:
    of_bits = any(isinstance(one, torch.Tensor) and one.dtype == torch.int16 for one in args)
    kinds = (*KINDS, *OF_BITS) if of_bits else KINDS
    return next((kind for kind, signs in kinds if any(sign in operator for sign in signs)), OTHER)
