"""flows.run.batch_queue: a worker gets a batch of its cached style first, and every batch is handed out once."""

from flows.records.plans import Batch
from flows.run.batch_queue import BatchQueue, style_of
from tests.flows.builders import pair_spec, planned


def batch(name: str, style: str, pairs: int = 1) -> Batch:
    return Batch(name, tuple(planned(pair_spec(row, "a.png", style)) for row in range(2, 2 + pairs)))


def test_a_single_worker_takes_style_after_style() -> None:
    """A single worker takes all batches of a style before the next style, in the manifest's order, each batch once."""
    queue = BatchQueue([batch("1", "x"), batch("2", "y"), batch("3", "x"), batch("4", "z")])
    taken, warm = [], None
    while queue:
        one = queue.take(warm)
        taken.append(one.name)
        warm = style_of(one)

    assert taken == ["1", "3", "2", "4"]


def test_a_worker_continues_with_its_cached_style() -> None:
    """A worker that has a style cached continues with it, even if other batches come earlier in the manifest."""
    queue = BatchQueue([batch("1", "x"), batch("2", "y"), batch("3", "y")])

    assert [queue.take("y", ["x", "y"]).name for _ in range(2)] == ["2", "3"]


def test_a_worker_without_a_style_takes_one_that_no_other_has() -> None:
    """A worker without a style of its own takes one that no other worker is doing."""
    queue = BatchQueue([batch("1", "x"), batch("2", "x"), batch("3", "y")])

    assert queue.take(None, ["x", None]).name == "3"


def test_a_worker_shares_the_style_with_the_most_pairs_left() -> None:
    """If another worker is at every style, the style with the most pairs left is shared."""
    queue = BatchQueue([batch("1", "x", 2), batch("2", "y", 3), batch("3", "y", 3), batch("4", "z", 5)])

    assert queue.take("gone", ["x", "y", "z"]).name == "2"


def test_a_queue_is_empty_once_all_batches_are_taken() -> None:
    """Once a style has no batches left, a worker that has it cached gets a batch of another style."""
    queue = BatchQueue([batch("1", "x"), batch("2", "y")])
    assert queue
    assert [queue.take("x").name, queue.take("x").name] == ["1", "2"]

    assert not queue
    assert not BatchQueue([])


def test_what_is_left_of_a_style_is_counted_in_pairs() -> None:
    """The style with the most pairs left is shared, not the one with the most batches; of equals, the first."""
    queue = BatchQueue([batch("1", "x"), batch("2", "x"), batch("3", "y", 3), batch("4", "z", 3)])

    assert queue.take(None, ["x", "y", "z"]).name == "3"
