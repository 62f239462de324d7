"""A fixture that makes uninitialised memory visible."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def filled_memory() -> Iterator[None]:
    """Fill the memory of every new tensor with NaN, or with the largest integer, until it is written to."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)
