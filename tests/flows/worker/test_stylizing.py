"""flows.worker.stylizing: a chunk gives each pair the result that it has alone, and only a pair at fault fails."""

import random
import time
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import DeviceLost
from flows.worker import lost_device, stylizing
from flows.worker.capacity import Capacity
from flows.worker.engine import backbone_of
from flows.worker.inputs import LoadedPair, load_pair, read_styles
from flows.worker.job import Job
from flows.worker.stylizing import Stylized, in_halves, stylize_chunk
from nst_core.errors import OptionsError, OutOfMemory, WeightsError
from tests.flows.builders import Painter, pair_spec, planned

pytestmark = pytest.mark.usefixtures("one_thread")

SHALLOW = {"size_px": 64, "style_layers": ("relu1_1", "relu2_1"), "content_layers": ("relu2_1",)}


class Device:
    """Doubles up to `holds` numbers at once; a negative number fails all numbers that are with it."""

    def __init__(self, holds: int) -> None:
        self.holds = holds
        self.tried: list[list[int]] = []
        self.failures: list[int] = []

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.tried.append(list(numbers))
        if len(numbers) > self.holds:
            raise OutOfMemory(f"{len(numbers)} are too many")
        if min(numbers) < 0:
            raise ValueError(f"{min(numbers)} is negative")
        return [2 * number for number in numbers]

    def run(self, numbers: list[int]) -> list[tuple[int, int | Exception]]:
        return list(in_halves(numbers, self, lambda pairs, _: self.failures.append(pairs)))


def test_work_that_fits_is_not_split() -> None:
    """Work that succeeds is not split."""
    device = Device(holds=4)

    assert device.run([1, 2, 3]) == [(1, 2), (2, 4), (3, 6)]
    assert device.tried == [[1, 2, 3]]


def test_too_many_items_are_halved_until_they_fit() -> None:
    """5 on a device that holds 2 are tried as 5, 3, 2, 1, 2; `on_failure` is called for each failure of several."""
    device = Device(holds=2)

    assert [result for _, result in device.run([1, 2, 3, 4, 5])] == [2, 4, 6, 8, 10]
    assert [len(tried) for tried in device.tried] == [5, 3, 2, 1, 2]
    assert device.failures == [5, 3]


def test_an_item_that_does_not_fit_alone_fails() -> None:
    """A single item that does not fit has the error as its result."""
    results = [result for _, result in Device(holds=0).run([1, 2])]

    assert [(type(result), str(result)) for result in results] == [(OutOfMemory, "1 are too many")] * 2


def test_a_weights_error_is_raised_at_once() -> None:
    """A WeightsError is no item's result: it is raised at once."""

    def work(_: Sequence[int]) -> list[int | Exception]:
        raise WeightsError("replaced")

    with pytest.raises(WeightsError, match="replaced"):
        list(in_halves([1, 2], work, lambda *_: None))


@given(numbers=st.lists(st.integers(1, 99), min_size=1, max_size=20), bad=st.integers(0, 3), holds=st.integers(1, 8))
def test_only_bad_items_fail(numbers: list[int], bad: int, holds: int) -> None:
    """Whichever items are bad and however few fit, good items have their result and bad ones their own error."""
    numbers = numbers + [-number for number in range(1, bad + 1)]
    random.Random(0).shuffle(numbers)
    results = Device(holds).run(numbers)

    assert [number for number, _ in results] == numbers
    for number, result in results:
        assert str(result) == (f"{number} is negative" if number < 0 else str(2 * number))


# ---------------------------------------------------------------- real pairs


def chunk_of(contents: list[str], waves: str, **options: object) -> list[LoadedPair]:
    specs = [pair_spec(row, content, waves, options=options) for row, content in enumerate(contents, start=2)]
    return [load_pair(planned(spec)) for spec in specs]


def stylized(chunk: list[LoadedPair], job: Job) -> list[Stylized | Exception]:
    pair = chunk[0].pair
    capacity = Capacity(pair.spec.options, backbone_of(job, "cpu"))
    style = read_styles(pair)
    results = list(stylize_chunk(chunk, style, job, "cpu", capacity))
    assert [loaded for loaded, _ in results] == chunk
    return [result for _, result in results]


@pytest.mark.parametrize(
    "options",
    [
        {"size_px": 64, "steps": 4},
        {"size_px": 64, "steps": 4, "recipe": "notebook"},
        {"size_px": 64, "steps": 4, "init": "noise", "output_format": "jpeg"},
    ],
    ids=["default", "notebook", "noise as jpeg"],
)
def test_a_pair_in_a_chunk_has_the_result_it_has_alone(
    photo: Painter, waves: str, job: Job, options: dict[str, object]
) -> None:
    """Stylized with three others, a pair has the loss, evaluations and stop reason that it has alone.

    This holds for a few steps of L-BFGS: another batch size gives a rounding error in the seventh digit, which later
    steps turn into as much as a hundredth.
    """
    chunk = chunk_of([photo(f"{seed}.png", 96, 72, seed=seed) for seed in range(4)], waves, **options)
    together = stylized(chunk, job)
    alone = [stylized([loaded], job)[0] for loaded in chunk]

    assert len({one.losses.total for one in together}) == 4
    for first, second in zip(together, alone, strict=True):
        assert first.losses.total == pytest.approx(second.losses.total, rel=0.005)
        assert first.initial.total == pytest.approx(second.initial.total, rel=1e-4)
        assert (first.evaluations, first.stop_reason) == (second.evaluations, second.stop_reason)


ILLEGAL = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("work", ["stylize", "measure", "distances"])
def test_a_lost_device_ends_the_batch_and_fails_no_pair(
    photo: Painter, waves: str, job: Job, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """Whichever work finds the device lost, the batch ends: no pair fails, and none is tried in a smaller chunk."""

    def no_answer(*_: object, **__: object) -> None:
        tried.append(work)
        raise ILLEGAL

    tried: list[str] = []
    monkeypatch.setattr(lost_device, "_synchronize", no_answer)
    monkeypatch.setattr(stylizing, work, no_answer)
    chunk = chunk_of([photo(f"{seed}.png", seed=seed) for seed in range(2)], waves, **SHALLOW, steps=2)

    with pytest.raises(DeviceLost, match="cpu is of no use to its process any more: CUDA error: an illegal"):
        stylized(chunk, job)
    assert len(tried) == 2  # the work, and the check whether the device responds


@pytest.mark.parametrize("work", ["stylize", "measure", "distances"])
def test_an_error_on_a_responding_device_fails_its_pair(
    photo: Painter, waves: str, job: Job, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """The same error is the pair's result if the device responds."""

    def failing(*_: object, **__: object) -> None:
        raise ILLEGAL

    monkeypatch.setattr(stylizing, work, failing)
    chunk = chunk_of([photo("a.png")], waves, **SHALLOW, steps=2)

    assert stylized(chunk, job) == [ILLEGAL]


def test_a_chunk_s_time_is_divided_among_its_pairs(photo: Painter, waves: str, job: Job) -> None:
    """The seconds of a chunk's pairs add up to about the time of the chunk."""
    contents = [photo(f"{seed}.png", seed=seed) for seed in range(4)]
    stylized(chunk_of(contents, waves, **SHALLOW, steps=1), job)  # fills the caches of the process
    chunk = chunk_of(contents, waves, **SHALLOW, steps=30)
    began = time.monotonic()
    seconds = [one.seconds for one in stylized(chunk, job)]
    whole = time.monotonic() - began

    assert 0.5 * whole < sum(seconds) <= whole


def test_images_too_thin_for_a_layer_fail_by_name(photo: Painter, waves: str, job: Job) -> None:
    """Images too thin for a layer fail one by one, each with an error that names its own file."""
    contents = [photo(f"thin-{seed}.png", 320, 32, seed=seed) for seed in range(3)]
    errors = stylized(chunk_of(contents, waves, size_px=64, steps=2), job)

    assert [type(error) for error in errors] == [OptionsError] * 3
    assert [str(error).partition(": ")[0] for error in errors] == contents
