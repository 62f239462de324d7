"""Records which tensors are allocated while a result is computed."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Made(TorchDispatchMode):
    """Records the number of elements of each tensor allocated while active; views and results in place are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {_memory(one) for one in (*args, *(kwargs or {}).values()) if isinstance(one, Tensor)}
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and _memory(result) not in given:
            self.sizes.append(result.numel())
        return result


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
