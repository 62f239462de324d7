"""Durations and costs formatted for people."""

from flows.records.runs import RunCosts
from flows.wording import counted


def readable_duration(seconds: float) -> str:
    """Format a duration in the largest unit that it has at least two of.

    >>> readable_duration(42), readable_duration(200), readable_duration(9000), readable_duration(400_000)
    ('42 s', '3 min', '2.5 h', '4.6 days')
    """
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            number = seconds / length
            return f"{number:.0f} {unit}" if unit == "min" or number >= 10 else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s"


def readable_rate(number: float) -> str:
    """Format a rate to three digits, without an exponent however fast a GPU is.

    >>> readable_rate(0.3831), readable_rate(60.0), readable_rate(1124.4), readable_rate(56_789.0)
    ('0.383', '60', '1,120', '56,800')
    """
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 999.5 else f"{number:.3g}"


def readable_device_time(processor_hours: float, gpu_hours: float) -> str:
    """Format the time of processor cores and of GPUs, leaving out whichever is zero.

    >>> readable_device_time(0.25, 0.0), readable_device_time(0.0, 3.0)
    ('15 min of processor cores', '3.0 h of GPUs')
    """
    devices = ((processor_hours, "processor cores"), (gpu_hours, "GPUs"))
    times = [f"{readable_duration(3600 * hours)} of {device}" for hours, device in devices if hours]
    return " and ".join(times) or "no time at all"


def costs_in_words(costs: RunCosts) -> str:
    """Format a run's throughput and device time in one line."""
    return (
        f"{readable_rate(costs.pairs_per_hour)} pairs per hour, "
        f"{readable_rate(costs.evaluations_per_second)} evaluations per second, "
        f"{readable_device_time(costs.processor_hours, costs.gpu_hours)}"
    )


def by_style_in_words(costs: RunCosts) -> str:
    """Format the costs of each style, the most expensive style first."""
    return "; ".join(
        f"{name}: {counted(style.pairs, 'pair')}, {counted(style.evaluations, 'evaluation')}, "
        f"{readable_device_time(style.processor_hours, style.gpu_hours)}"
        for name, style in costs.by_style.items()
    )
