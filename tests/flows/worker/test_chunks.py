"""flows.worker.chunks and .capacity: which pairs go to the device together. Images are blank, as only sizes count."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flows.records.plans import PlannedPair
from flows.worker.capacity import Capacity, most_extra
from flows.worker.chunks import next_chunk
from flows.worker.inputs import Input, LoadedPair
from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.catalogue import WeightsFile
from nst_core.errors import DivergedError, OutOfMemory
from nst_core.machine.footprint import Extra
from nst_core.machine.memory import largest_batch
from nst_core.options import StylizeOptions
from tests.flows.builders import FINGERPRINT, pair_spec

WIDE, TALL = (64, 48), (48, 64)


def loaded(row: int, size: tuple[int, int]) -> LoadedPair:
    pair = PlannedPair(pair_spec(row), "x", "y", FINGERPRINT)
    return LoadedPair(pair, Input("00", Image.new("RGB", size), ()))


def rows(chunk: list[LoadedPair]) -> list[int]:
    return [one.pair.spec.row for one in chunk]


def waiting(*sizes: tuple[int, int]) -> list[LoadedPair]:
    return [loaded(row, size) for row, size in enumerate(sizes)]


def test_a_full_chunk_is_returned_at_once() -> None:
    """As soon as as many pairs of one size are loaded as the device holds, these form a chunk, in order."""
    pairs = waiting(TALL, WIDE, WIDE, TALL, WIDE, WIDE)

    assert rows(next_chunk(pairs, lambda _: 3, more_to_come=True)) == [1, 2, 4]


def test_an_incomplete_chunk_waits_for_more() -> None:
    """While more pairs are to come, a chunk that may yet be filled is not returned."""
    assert next_chunk(waiting(TALL, WIDE, WIDE), lambda _: 3, more_to_come=True) == []


def test_at_the_end_the_fullest_chunk_is_returned_first() -> None:
    """When no more pairs are to come, incomplete chunks are returned too, the fullest first."""
    assert rows(next_chunk(waiting(TALL, WIDE, WIDE), lambda _: 3, more_to_come=False)) == [1, 2]


def test_no_waiting_pairs_make_no_chunk() -> None:
    """With no pairs waiting, the chunk is empty."""
    assert next_chunk([], lambda _: 3, more_to_come=False) == []


@given(
    sizes=st.lists(st.sampled_from([WIDE, TALL, (64, 64)]), max_size=20),
    most=st.fixed_dictionaries({WIDE: st.integers(1, 5), TALL: st.integers(1, 5), (64, 64): st.integers(1, 5)}),
)
def test_every_pair_is_in_one_chunk(sizes: list[tuple[int, int]], most: dict[tuple[int, int], int]) -> None:
    """All pairs end up in exactly one chunk; every chunk has one size and no more pairs than the device takes."""
    left, gone = waiting(*sizes), []
    while left:
        chunk = next_chunk(left, most.__getitem__, more_to_come=False)
        assert len({one.size for one in chunk}) == 1
        assert 1 <= len(chunk) <= most[chunk[0].size]
        gone += rows(chunk)
        left = [one for one in left if one.pair.spec.row not in gone]

    assert sorted(gone) == list(range(len(sizes)))


# ---------------------------------------------------------------- how many


@pytest.fixture(scope="module")
def backbone(weights: WeightsFile) -> Backbone:
    return load_backbone(weights)


@pytest.fixture
def on_gpu(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """The backbone as on a GPU whose memory holds fewer large pairs than a full batch has."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (12_000_000_000, 12_000_000_000))
    for held in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, held, lambda _device: 0)
    return dataclasses.replace(backbone, device="cuda:0", precision="bf16")


def options(**changes: object) -> StylizeOptions:
    return StylizeOptions(**changes).resolved()


def test_capacity_starts_at_the_engine_s_prediction(backbone: Backbone, on_gpu: Backbone) -> None:
    """At first, chunks are as large as the engine predicts for their size: one pair on a CPU, many on a GPU."""
    capacity = Capacity(options(), on_gpu)

    assert capacity(WIDE) == largest_batch(*WIDE, on_gpu) > capacity((512, 512)) > 1
    assert Capacity(options(), backbone)(WIDE) == 1


def test_capacity_is_one_with_a_time_budget(on_gpu: Backbone) -> None:
    """Pairs with `max_seconds` run one at a time: beside others, each would get less done in its time."""
    assert Capacity(options(max_seconds=60.0), on_gpu)(WIDE) == 1


def test_out_of_memory_halves_chunks_of_that_size(on_gpu: Backbone) -> None:
    """After 9 pairs ran out of GPU or worker memory, chunks of that size have 5, then 3, then 1; other sizes keep
    theirs.
    """
    capacity = Capacity(options(), on_gpu)
    before = capacity(TALL)
    found = []
    for pairs, error in ((9, OutOfMemory("full")), (5, MemoryError()), (2, OutOfMemory("full")), (1, MemoryError())):
        capacity.learn(WIDE, pairs, error)
        found.append(capacity(WIDE))

    assert found == [5, 3, 1, 1]
    assert capacity(TALL) == before > 9


def test_a_later_failure_never_enlarges_chunks(on_gpu: Backbone) -> None:
    """A larger chunk that was begun before the reduction, and fails after it, does not raise the limit again."""
    capacity = Capacity(options(), on_gpu)
    for pairs in (4, 9):
        capacity.learn(WIDE, pairs, OutOfMemory("full"))

    assert capacity(WIDE) == 2


def test_other_failures_do_not_shrink_chunks(on_gpu: Backbone) -> None:
    """A chunk that one of its pairs has spoilt says nothing about memory."""
    capacity = Capacity(options(), on_gpu)
    before = capacity(WIDE)
    capacity.learn(WIDE, 9, DivergedError("not finite"))

    assert capacity(WIDE) == before > 9


def test_masks_make_chunks_smaller(on_gpu: Backbone) -> None:
    """On a GPU with memory for less than a full batch, the planes of masks reduce the number of pairs further."""
    found = [Capacity(options(), on_gpu, extra)((512, 512)) for extra in (Extra(), Extra(planes=200))]

    assert 1 < found[1] < found[0]


def test_memory_for_masks_is_reserved_before_they_are_read() -> None:
    """The extra memory of a batch is the most that any of its pairs can need.

    That is eight regions if there are masks, planes for `protect`, and planes for visible transparency (`alpha=keep`).
    """

    def pair(*columns: str, **options: str) -> PlannedPair:
        spec = pair_spec(others=dict.fromkeys(columns, "/in/mask.png"), options=options)
        return PlannedPair(spec, "x", "y", FINGERPRINT)

    plain, seen = pair(), pair(alpha="keep")
    masked, protected = pair("content_mask", "style_mask"), pair("protect")

    found = [most_extra(pairs).planes for pairs in ([plain], [seen], [plain, protected], [masked, protected])]

    assert found == [0, 3, 4, 25]
