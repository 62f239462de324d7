"""Fan-out: a function applied to many inputs at once, in a thread pool."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from flows.storage.retries import hurried

Input = TypeVar("Input")
Output = TypeVar("Output")

CONCURRENT_REQUESTS = 16
CHUNK = 64
"""The number of inputs that a thread takes at a time: to submit a hundred thousand one by one costs more than the work
itself."""


def each(function: Callable[[Input], Output], inputs: Iterable[Input]) -> list[Output]:
    """Return the function's result for every input, in order.

    Inputs are processed concurrently, as requests to S3 spend far more time waiting than computing.
    """
    inputs = list(inputs)
    size = max(1, min(CHUNK, len(inputs) // CONCURRENT_REQUESTS))
    chunks = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        try:
            done = pool.map(lambda chunk: [function(one) for one in chunk], chunks)
            return [output for outputs in done for output in outputs]
        except BaseException as error:
            with hurried(error):  # an interruption must not wait for threads that still wait for a server
                pool.shutdown(cancel_futures=True)
            raise
