"""Times and costs as they are read."""

from flows.records.runs import RunCosts


def in_words(seconds: float) -> str:
    """A time in its largest unit.

    >>> in_words(42), in_words(200), in_words(9000), in_words(400_000)
    ('42 s', '3 min', '2.5 h', '4.6 days')
    """
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            number = seconds / length
            return f"{number:.0f} {unit}" if unit == "min" or number >= 10 else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s"


def devices_time(processor_hours: float, gpu_hours: float) -> str:
    """Time of processors' cores and of GPUs, whichever there was.

    >>> devices_time(0.25, 0.0), devices_time(0.0, 3.0)
    ('15 min of processor cores', '3.0 h of GPUs')
    """
    of = ((processor_hours, "processor cores"), (gpu_hours, "GPUs"))
    return " and ".join(f"{in_words(3600 * hours)} of {what}" for hours, what in of if hours) or "no time at all"


def costs_in_words(costs: RunCosts) -> str:
    """What a run took, in one line."""
    return (
        f"{costs.pairs_per_hour:.3g} pairs per hour, {costs.evaluations_per_second:.3g} evaluations per second, "
        f"{devices_time(costs.processor_hours, costs.gpu_hours)}"
    )


def by_style_in_words(costs: RunCosts) -> str:
    """The same by style, the dearest first."""
    return "; ".join(
        f"{name}: {one.pairs} pairs, {one.evaluations} evaluations, {devices_time(one.processor_hours, one.gpu_hours)}"
        for name, one in costs.by_style.items()
    )
