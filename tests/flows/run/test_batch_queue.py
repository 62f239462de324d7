"""flows.run.batch_queue: warm styles first, every batch once."""

from flows.records.plans import Batch
from flows.run.batch_queue import BatchQueue, style_of
from tests.flows.builders import pair_spec, planned


def batch(name: str, style: str, pairs: int = 1) -> Batch:
    return Batch(name, tuple(planned(pair_spec(row, "a.png", style)) for row in range(2, 2 + pairs)))


def test_one_worker_goes_by_the_manifest() -> None:
    """Alone, a worker takes style after style, each batch once."""
    queue = BatchQueue([batch("1", "x"), batch("2", "y"), batch("3", "x"), batch("4", "z")])
    taken, warm = [], None
    while queue:
        one = queue.take(warm)
        taken.append(one.name)
        warm = style_of(one)

    assert taken == ["1", "3", "2", "4"]


def test_a_warm_style_comes_first() -> None:
    """A worker that has done a style goes on with it, whatever comes earlier in the manifest."""
    queue = BatchQueue([batch("1", "x"), batch("2", "y"), batch("3", "y")])

    assert [queue.take("y", ["x", "y"]).name for _ in range(2)] == ["2", "3"]


def test_workers_spread_out() -> None:
    """A worker without work of its own takes a style at which nobody is."""
    queue = BatchQueue([batch("1", "x"), batch("2", "x"), batch("3", "y")])

    assert queue.take(None, ["x", None]).name == "3"


def test_whoever_is_done_helps_where_most_is_left() -> None:
    """Where somebody is at every style, the one with the most pairs left is shared."""
    queue = BatchQueue([batch("1", "x", 2), batch("2", "y", 3), batch("3", "y", 3), batch("4", "z", 5)])

    assert queue.take("gone", ["x", "y", "z"]).name == "2"


def test_a_queue_is_empty_once_all_is_taken() -> None:
    """A style that is used up is gone, also for whoever has it warm."""
    queue = BatchQueue([batch("1", "x"), batch("2", "y")])
    assert queue
    assert [queue.take("x").name, queue.take("x").name] == ["1", "2"]

    assert not queue
    assert not BatchQueue([])


def test_what_is_left_is_counted_in_pairs() -> None:
    """Not in batches, of which a style may have many small ones; of equals the first is helped."""
    queue = BatchQueue([batch("1", "x"), batch("2", "x"), batch("3", "y", 3), batch("4", "z", 3)])

    assert queue.take(None, ["x", "y", "z"]).name == "3"
