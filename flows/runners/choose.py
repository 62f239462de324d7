"""Choose the runner that a run's settings name."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.runners.inline import inline_means, inline_runner
from flows.runners.local import local_means, local_runner
from flows.runners.ray.cluster import check_answers
from flows.runners.ray.runner import ray_runner
from flows.runners.runner import Runner
from flows.settings import RunSettings


@contextmanager
def runner_of(settings: RunSettings) -> Iterator[Runner]:
    """Provide the runner that the settings name, for as long as the block lasts.

    Raises:
        OptionsError: if this machine does not have the device that the settings name.
        ClusterError: if the Ray cluster cannot be used.
    """
    if settings.runner == "ray":
        with ray_runner(settings) as runner:
            yield runner
    else:
        yield inline_runner(settings) if settings.runner == "inline" else local_runner(settings)


def check_runner(settings: RunSettings) -> None:
    """Refuse settings whose runner could not do any work.

    Raises:
        OptionsError: if this machine does not have the device that the settings name.
        ClusterError: if no Ray cluster answers at the address.
    """
    if settings.runner == "ray":
        check_answers(settings.ray_address)
    elif settings.runner == "inline":
        inline_means(settings)
    else:
        local_means(settings)
