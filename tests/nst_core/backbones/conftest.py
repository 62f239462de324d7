"""Fixtures for tests of memory that is never written."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def filled_memory() -> Iterator[None]:
    """Memory that nobody has written to yet is full of NaN, or of the largest integer."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)
