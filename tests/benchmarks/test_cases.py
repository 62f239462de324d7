"""cases: the order of the cases, their predicted cost, and why a case is skipped."""

from tests.benchmarks.cases import Case, Cost, grid, why_not

GIB = 2**30


def test_cheap_cases_come_first() -> None:
    """Cases are measured in order of cost, so that the cheap ones predict the others."""
    assert grid([512, 256], [4, 1]) == [Case(256, 1), Case(512, 1), Case(256, 4), Case(512, 4)]


def test_memory_before_the_first_evaluation_is_not_scaled() -> None:
    """For four times the pixels, seconds and the memory beyond that at the start are predicted to be four times."""
    known = Cost(Case(256, 1), seconds=2.0, before_bytes=GIB, peak_bytes=2 * GIB)

    predicted = known.scaled(Case(512, 1))

    assert (predicted.peak_bytes, predicted.seconds) == (5 * GIB, 8.0)


def test_a_case_that_would_not_fit_is_skipped_with_its_prediction() -> None:
    """Memory is checked before time, by the largest measured case; without a measured case none is skipped."""
    small = Cost(Case(128, 1), seconds=1.0, before_bytes=0, peak_bytes=2 * GIB)
    large = Cost(Case(256, 1), seconds=4.0, before_bytes=0, peak_bytes=4 * GIB)

    assert why_not(Case(512, 1), [], 0, 0) is None
    assert why_not(Case(512, 1), [large, small], 20 * GIB, 60.0) is None
    assert why_not(Case(512, 1), [small, large], 17 * GIB, 60.0) == "predicted to take 16.0 GiB, 17.0 GiB are free"
    assert why_not(Case(512, 1), [small, large], 20 * GIB, 10.0) == "predicted to take 16 s, 10 s are allowed"
