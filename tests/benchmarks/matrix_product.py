"""The rate of a large square matrix product: the best that the hardware reaches, to compare an evaluation with."""

import time

import torch

from nst_core.machine.runtime import has_native_bf16

SIDE = {"cpu": 4096, "cuda": 16384}
REPEATS = 7


def matrix_product_rates(device: str, side: int | None = None) -> dict[str, float]:
    """Precision -> FLOP/s of the fastest of several products; bf16 only where the hardware multiplies it natively."""
    precisions = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if has_native_bf16(device) else {})
    length = side or SIDE[device.partition(":")[0]]
    return {name: _rate(dtype, device, length) for name, dtype in precisions.items()}


def _rate(dtype: torch.dtype, device: str, side: int) -> float:
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(REPEATS + 2):  # the first two warm up
        _wait(device)
        began = time.perf_counter()
        torch.mm(a, b, out=product)
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 2.0 * side**3 / min(seconds[2:])


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
