"""lbfgs: L-BFGS over a batch, in which every row has its own history, step length and step control."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nst_core.optimizers import bands as bands_module
from nst_core.optimizers.bands import Bands
from nst_core.optimizers.lbfgs import FIRST_STEP, LBFGS

Function = Callable[[Tensor], Tensor]
"""Points (N, n) -> values (N,)."""


@dataclass(frozen=True)
class Path:
    """All evaluations in order, in tensors of shape (evaluations, N, ...); `accepted` marks the points kept."""

    points: Tensor
    values: Tensor
    gradients: Tensor
    accepted: Tensor

    def row(self, row: int) -> "Path":
        rows = slice(row, row + 1)
        return Path(self.points[:, rows], self.values[:, rows], self.gradients[:, rows], self.accepted[:, rows])

    def kept_values(self, row: int = 0) -> list[float]:
        kept: list[float] = self.values[self.accepted[:, row], row].tolist()
        return kept


def evaluate(function: Function, point: Tensor) -> tuple[Tensor, Tensor]:
    point = point.detach().clone().requires_grad_()
    values = function(point)
    (gradients,) = torch.autograd.grad(values.sum(), point)
    return values.detach(), gradients


def walk(function: Function, optimizer: LBFGS, evaluations: int) -> Path:
    """Run an optimizer for some evaluations. Its start counts as accepted, as no step led there."""
    points, values, gradients, accepted = [], [], [], []
    for _ in range(evaluations):
        found = evaluate(function, optimizer.point)
        points.append(optimizer.point.clone())
        optimizer.tell(*found)
        values.append(found[0])
        gradients.append(found[1])
        accepted.append(optimizer.rejected == 0)
    return Path(torch.stack(points), torch.stack(values), torch.stack(gradients), torch.stack(accepted))


def minimise(function: Function, start: Any, evaluations: int, **options: Any) -> Path:
    return walk(function, LBFGS(torch.as_tensor(start, dtype=torch.float32), **options), evaluations)


def assert_same(one: Path, other: Path, **tolerance: float) -> None:
    torch.testing.assert_close(one.points, other.points, **(tolerance or {"rtol": 1e-5, "atol": 1e-6}), equal_nan=True)


# ---- Functions with known minima


def bowl(x: Tensor) -> Tensor:
    return 0.5 * (x - 1.0).square().sum(dim=1)


def ellipse(x: Tensor) -> Tensor:
    """A quadratic whose longest axis is ten times its shortest."""
    return 0.5 * (torch.logspace(0, 2, x.shape[1]) * (x - 1.0).square()).sum(dim=1)


def rosenbrock(x: Tensor) -> Tensor:
    before, after = x[:, :-1], x[:, 1:]
    return ((1.0 - before).square() + 100.0 * (after - before.square()).square()).sum(dim=1)


def beale(x: Tensor) -> Tensor:
    a, b = x.unbind(dim=1)
    return (1.5 - a + a * b).square() + (2.25 - a + a * b.square()).square() + (2.625 - a + a * b.pow(3)).square()


def booth(x: Tensor) -> Tensor:
    a, b = x.unbind(dim=1)
    return (a + 2.0 * b - 7.0).square() + (2.0 * a + b - 5.0).square()


def matyas(x: Tensor) -> Tensor:
    return 0.26 * x.square().sum(dim=1) - 0.48 * x.prod(dim=1)


def himmelblau(x: Tensor) -> Tensor:
    a, b = x.unbind(dim=1)
    return (a.square() + b - 11.0).square() + (a + b.square() - 7.0).square()


def powell(x: Tensor) -> Tensor:
    """Powell's singular function: the curvature is 0 at the minimum."""
    a, b, c, d = x.unbind(dim=1)
    return (a + 10.0 * b).square() + 5.0 * (c - d).square() + (b - 2.0 * c).pow(4) + 10.0 * (a - d).pow(4)


def styblinski(x: Tensor) -> Tensor:
    """Styblinski and Tang's: the minimum is far below 0."""
    return 0.5 * (x.pow(4) - 16.0 * x.square() + 5.0 * x).sum(dim=1)


def log_cosh(x: Tensor) -> Tensor:
    """About |x - 2| far from the minimum: nearly straight there, so that the curvature is nearly 0."""
    distance = (x - 2.0).abs()
    return (distance + torch.nn.functional.softplus(-2.0 * distance) - math.log(2.0)).sum(dim=1)


def raised_bowl(x: Tensor) -> Tensor:
    """A minimum of 1000: the possible decrease is small relative to the value."""
    return 1000.0 + bowl(x)


def with_a_wall(x: Tensor) -> Tensor:
    """NaN for negative x; the minimum, -n, is at 1."""
    return (x - 2.0 * x.sqrt()).sum(dim=1)


def barrier(x: Tensor) -> Tensor:
    """Infinite at 0 and NaN below; the minimum, n, is at 1."""
    return (x - x.log()).sum(dim=1)


def cliff(x: Tensor) -> Tensor:
    """About 1e13 at x = 3: a unit step that is too long overflows. The minimum is 0.3302585 per coordinate."""
    return (torch.exp(10.0 * x) - x).sum(dim=1)


def kink(x: Tensor) -> Tensor:
    return (x - 1.0).abs().sum(dim=1)


def ripples(x: Tensor) -> Tensor:
    return x.square().sum(dim=1) + 3.0 * torch.sin(20.0 * x).sum(dim=1)


def stairs(x: Tensor) -> Tensor:
    """Jumps that no gradient shows."""
    return x.square().sum(dim=1) + torch.floor(3.0 * x).abs().sum(dim=1)


def spikes(x: Tensor) -> Tensor:
    """Infinite in a ring around the minimum."""
    radius = x.square().sum(dim=1)
    return radius + torch.where((radius > 1.0) & (radius < 2.0), torch.inf, 0.0)


def cubic(x: Tensor) -> Tensor:
    """No minimum: the value falls without bound as x does."""
    return x.pow(3).sum(dim=1) + 100.0


PROBLEMS: list[tuple[Function, list[float], float]] = [
    (bowl, [3.0] * 20, 0.0),
    (ellipse, [3.0] * 20, 0.0),
    (ellipse, [-1e3, 1e3, 0.0], 0.0),
    (rosenbrock, [-1.2, 1.0], 0.0),
    (rosenbrock, [3.0, -4.0], 0.0),
    (rosenbrock, [-1.2, 1.0] * 5, 0.0),
    (beale, [1.0, 1.0], 0.0),
    (booth, [0.0, 0.0], 0.0),
    (booth, [-50.0, 80.0], 0.0),
    (matyas, [5.0, -7.0], 0.0),
    (himmelblau, [0.0, 0.0], 0.0),
    (himmelblau, [-4.0, 5.0], 0.0),
    (powell, [3.0, -1.0, 0.0, 1.0], 0.0),
    (styblinski, [-1.0, -1.0, -1.0], 3 * -39.166166),
    (log_cosh, [-8.0, 9.0, 0.0], 0.0),
    (raised_bowl, [0.0] * 5, 1000.0),
    (with_a_wall, [9.0, 4.0, 0.01], -3.0),
    (barrier, [9.0, 4.0, 0.01], 3.0),
    (cliff, [3.0, -2.0], 0.6605170),
]

DIFFICULT: list[tuple[Function, list[float]]] = [
    (kink, [0.3, -7.0, 11.0]),
    (ripples, [3.0, -2.5]),
    (stairs, [4.2, -3.3]),
    (spikes, [3.0, -4.0]),
    (cliff, [2.0, -9.0, 1.0]),
    (with_a_wall, [1e-3, 50.0]),
    (barrier, [1e-3, 50.0]),
    (rosenbrock, [-30.0, 20.0, -10.0]),
    (himmelblau, [100.0, -200.0]),
    (cubic, [1.0, -1.0]),
]


@pytest.mark.parametrize(("function", "start", "minimum"), PROBLEMS)
def test_the_minimum_is_reached(function: Function, start: list[float], minimum: float) -> None:
    """On classic problems the last accepted value is the known minimum."""
    path = minimise(function, [start], 150)

    assert path.kept_values()[-1] == pytest.approx(minimum, abs=1e-5, rel=1e-5)


# ---- The direction


def dense_direction(
    points: NDArray[Any], gradients: NDArray[Any], history: int, bands: tuple[int, ...] | None = None
) -> NDArray[Any]:
    """Return -H g with the inverse Hessian H as a matrix: Nocedal and Wright, eq. 7.19, from a path's last pairs.

    H begins as a diagonal: in each band, the root mean square of the steps divided by that of the gradient changes. The
    whole diagonal is then scaled to fit the last pair.
    """
    steps, changes = np.diff(points, axis=0)[-history:], np.diff(gradients, axis=0)[-history:]
    identity = np.eye(points.shape[1])
    band_of = np.zeros(points.shape[1], dtype=int) if bands is None else np.array(bands)
    shape = np.array(
        [np.linalg.norm(steps[:, band_of == b]) / np.linalg.norm(changes[:, band_of == b]) for b in band_of]
    )
    H = np.diag(shape) * (steps[-1] @ changes[-1]) / (shape @ changes[-1] ** 2)
    for s, y in zip(steps, changes, strict=True):
        rho = 1.0 / (s @ y)
        H = (identity - rho * np.outer(s, y)) @ H @ (identity - rho * np.outer(y, s)) + rho * np.outer(s, s)
    direction: NDArray[Any] = -H @ gradients[-1]
    return direction


@pytest.mark.parametrize("history", [1, 3, 20])
def test_unit_steps_follow_the_formula(history: int) -> None:
    """While every step is accepted, each step is -H g, where H is computed as a matrix from the last few pairs."""
    path = minimise(ellipse, [[1.3, 0.8, 1.1, 0.9, 1.2, 0.7, 1.05]], 12, history=history, noise=100.0)
    points, gradients = path.points[:, 0].double().numpy(), path.gradients[:, 0].double().numpy()

    assert bool(path.accepted.all())
    for count in range(2, 12):
        expected = dense_direction(points[:count], gradients[:count], history)
        found = points[count] - points[count - 1]
        assert np.linalg.norm(found - expected) < 2e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("history", [1, 3, 20])
def test_each_band_has_its_own_curvature(history: int) -> None:
    """With bands the inverse Hessian begins as one value per band, learned from the stored pairs."""
    bands = (0, 1, 1, 0, 2, 2, 1)
    start = [[1.3, 0.8, 1.1, 0.9, 1.2, 0.7, 1.05]]
    path = minimise(ellipse, start, 12, bands=Bands(torch.tensor(bands), 3), history=history, noise=100.0)
    points, gradients = path.points[:, 0].double().numpy(), path.gradients[:, 0].double().numpy()

    assert bool(path.accepted.all())
    for count in range(2, 12):
        expected = dense_direction(points[:count], gradients[:count], history, bands)
        found = points[count] - points[count - 1]
        assert np.linalg.norm(found - expected) < 2e-3 * np.linalg.norm(expected)


def test_bands_speed_up_the_descent_where_curvatures_differ() -> None:
    """With a hundred coordinates ten thousand times as stiff as the others, two bands reach a far lower value.

    The stiffness also varies within each band.
    """
    stiffness = torch.cat([torch.logspace(0, 1, 100), torch.logspace(4, 5, 100)])
    start, bands = torch.full((1, 200), 2.0), Bands(torch.arange(200) // 100, 2)

    def valley(x: Tensor) -> Tensor:
        return 0.5 * (stiffness * (x - 1.0).square()).sum(dim=1)

    alike, apart = minimise(valley, start, 30), minimise(valley, start, 30, bands=bands)

    assert apart.kept_values()[-1] < 0.01 * alike.kept_values()[-1]


def test_a_band_without_a_slope_does_not_affect_the_others() -> None:
    """Coordinates of a band on which the value does not depend keep their values; the minimum is still found."""
    bands = Bands(torch.tensor([0, 1, 0, 1]), 2)

    path = minimise(lambda x: ellipse(x[:, ::2]), [[3.0, 7.0, -4.0, 9.0]], 40, bands=bands)

    assert path.kept_values()[-1] == pytest.approx(0.0, abs=1e-6)
    assert path.points[-1, 0, 1::2].tolist() == [7.0, 9.0]


def test_history_is_limited_by_its_length() -> None:
    """A history longer than the number of pairs changes nothing; a shorter one changes the path."""
    start = [[1.3, 0.8, 1.1, 0.9, 1.2, 0.7, 1.05]]
    ten, twenty, two = (minimise(ellipse, start, 10, history=history) for history in (10, 20, 2))

    assert_same(ten, twenty)
    assert not torch.allclose(ten.points[-1], two.points[-1], rtol=1e-2)


@pytest.mark.parametrize("first_step", [1e-3, 0.02, 3.0])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_first_step(first_step: float, scale: float) -> None:
    """The first step goes against the gradient and changes the coordinates by `first_step` in root mean square."""
    path = minimise(lambda x: scale * ellipse(x), [[3.0, -4.0, 0.5]], 2, first_step=first_step)

    step = path.points[1, 0] - path.points[0, 0]
    assert step.square().mean().sqrt().item() == pytest.approx(first_step, rel=1e-3)
    assert torch.cosine_similarity(step, -path.gradients[0, 0], dim=0).item() == pytest.approx(1.0)


def test_first_step_by_default() -> None:
    """By default the first step changes coordinates by 0.07 in root mean square: 0.02 of mid-grey pixels."""
    path = minimise(ellipse, [[3.0, -4.0, 0.5]], 2)

    assert (path.points[1] - path.points[0]).square().mean().sqrt().item() == pytest.approx(0.07, rel=1e-3)


def test_negative_curvature_leaves_the_history_empty() -> None:
    """On a hill, where all curvature is negative, no pair is stored: every step is along the gradient, as the first."""
    path = minimise(lambda x: -0.5 * x.square().sum(dim=1), [[1.0, 2.0]], 10)

    lengths = path.points.diff(dim=0).square().mean(dim=2).sqrt()
    assert bool(path.accepted.all())
    torch.testing.assert_close(lengths, torch.full_like(lengths, FIRST_STEP), rtol=1e-3, atol=0.0)


def step_after(optimizer: LBFGS, value: float, *gradient: float) -> Tensor:
    """Give the value and gradient at the point of an optimizer of one row; return the step that it tries next."""
    optimizer.tell(torch.tensor([value]), torch.tensor([gradient]))
    return (optimizer.point - optimizer.accepted)[0]


def test_a_pair_of_negative_curvature_is_not_stored() -> None:
    """After a step of negative curvature and one of positive, the direction depends on the second alone."""
    optimizer = LBFGS(torch.zeros(1, 2), first_step=1.0)
    step_after(optimizer, 10.0, 1.0, 1.0)
    uphill = step_after(optimizer, 9.0, 2.0, 2.5)  # the slope became steeper on the way down: negative curvature
    points = [optimizer.accepted[0].double().numpy()]

    found = step_after(optimizer, 8.0, 1.0, 1.5)

    points.append(optimizer.accepted[0].double().numpy())
    gradients = np.array([[2.0, 2.5], [1.0, 1.5]])
    assert uphill.square().mean().sqrt().item() == pytest.approx(1.0)
    np.testing.assert_allclose(found.numpy(), dense_direction(np.array(points), gradients, 1), rtol=1e-5)


def test_a_restart_forgets_the_history() -> None:
    """After a restart steps follow the gradient, as the first step does, until a pair of curvature is stored."""
    optimizer = LBFGS(torch.zeros(1, 2), first_step=1.0)
    step_after(optimizer, 10.0, 1.0, 1.0)
    step_after(optimizer, 9.0, 0.5, 0.25)
    for _ in range(6):
        step_after(optimizer, float("nan"), 0.0, 0.0)

    step = step_after(optimizer, 8.0, 0.5, 0.25)  # the gradient has not changed: no curvature

    assert step.square().mean().sqrt().item() == pytest.approx(1.0)


def test_a_direction_that_leads_uphill_is_not_taken() -> None:
    """Where a spoilt history points uphill, the step follows the gradient and is as long as a first step."""
    optimizer = LBFGS(torch.zeros(1, 2), first_step=1.0)
    step_after(optimizer, 10.0, 1.0, 1.0)
    step_after(optimizer, 9.0, 0.5, 0.25)
    optimizer.history.diagonal.fill_(-1e6)

    step = step_after(optimizer, 8.0, 2.0, 1.5)  # steeper than before: the curvature is negative, so no pair is stored

    assert step.square().mean().sqrt().item() == pytest.approx(1.0)
    assert torch.cosine_similarity(step, torch.tensor([-2.0, -1.5]), dim=0).item() == pytest.approx(1.0)


def test_at_the_minimum_nothing_moves() -> None:
    """A start whose gradient is 0 never moves, and stays finite."""
    path = minimise(bowl, [[1.0, 1.0, 1.0]], 5)

    assert torch.equal(path.points, torch.ones(5, 1, 3))


# ---- Step control


@pytest.mark.parametrize(("function", "start"), [*DIFFICULT, *((function, start) for function, start, _ in PROBLEMS)])
def test_accepted_values_keep_the_bound(function: Function, start: list[float]) -> None:
    """No accepted value exceeds the largest of the three accepted before it by more than the noise."""
    values = minimise(function, [start], 120).kept_values()

    assert len(values) > 5
    for count in range(1, len(values)):
        highest = max(values[max(0, count - 3) : count])
        assert values[count] <= highest + 1.0001e-3 * abs(highest)


@pytest.mark.parametrize(("function", "start"), [*DIFFICULT, *((function, start) for function, start, _ in PROBLEMS)])
@pytest.mark.parametrize("first_step", [0.02, 10.0])
def test_nothing_ends_above_its_start(function: Function, start: list[float], first_step: float) -> None:
    """With walls, cliffs, jumps and kinks, and even with a far too long first step, the end is below the start."""
    values = minimise(function, [start], 120, first_step=first_step).kept_values()

    assert values[-1] < values[0]


def test_a_rise_below_the_last_three_is_accepted() -> None:
    """After 100, 90 and 80 a value of 95 is accepted; three steps later, when the 100 is forgotten, 99 is rejected."""
    optimizer = LBFGS(torch.zeros(1, 2), first_step=1e-3)
    accepted = []
    for value in (100.0, 90.0, 80.0, 95.0, 94.9, 94.8, 99.0):
        step_after(optimizer, value, 1.0, 1.0)
        accepted.append(optimizer.rejected.item() == 0)

    assert accepted == [True, True, True, True, True, True, False]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_a_step_to_a_bad_value_is_shortened_to_a_tenth(bad: float) -> None:
    """After a value that is not finite, or far too high, the next point lies at a tenth of the rejected step."""
    optimizer = LBFGS(torch.tensor([[3.0, 4.0]]))
    optimizer.tell(*evaluate(bowl, optimizer.point))
    tried = optimizer.point - torch.tensor([[3.0, 4.0]])

    optimizer.tell(torch.tensor([bad]), torch.zeros(1, 2))

    again = optimizer.point - torch.tensor([[3.0, 4.0]])
    share = (again / tried).flatten()
    assert optimizer.steps.tolist() == [0]
    assert optimizer.rejected.tolist() == [1]
    assert share.tolist() == pytest.approx([0.1, 0.1], rel=1e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_point_with_a_bad_gradient_is_rejected(bad: float) -> None:
    """A point whose gradient is not finite is rejected, however low its value."""
    optimizer = LBFGS(torch.tensor([[3.0, 4.0]]))
    optimizer.tell(*evaluate(bowl, optimizer.point))

    optimizer.tell(torch.tensor([0.0]), torch.tensor([[0.0, bad]]))

    assert optimizer.steps.tolist() == [0]
    assert bool(torch.isfinite(optimizer.point).all())


def test_a_step_is_cut_to_the_minimum_of_a_parabola() -> None:
    """A rejected step is shortened to the minimum of the parabola through both values and the first slope."""
    optimizer = LBFGS(torch.tensor([[0.0]]), first_step=1.0)
    optimizer.tell(torch.tensor([1.0]), torch.tensor([[-2.0]]))  # the parabola 1 - 2 t + 2.5 t^2 ...

    optimizer.tell(torch.tensor([1.5]), torch.tensor([[3.0]]))  # ... is 1.5 at t = 1

    assert optimizer.point.item() == pytest.approx(0.4)


@pytest.mark.parametrize(("rises_to", "expected"), [(100.0, 0.1), (1.0015, 0.49962)])
def test_the_cut_is_bounded(rises_to: float, expected: float) -> None:
    """A rejected step is never cut to less than a tenth, and is cut to about half where the value hardly rose."""
    optimizer = LBFGS(torch.tensor([[0.0]]), first_step=1.0)
    optimizer.tell(torch.tensor([1.0]), torch.tensor([[-2.0]]))

    optimizer.tell(torch.tensor([rises_to]), torch.tensor([[3.0]]))

    assert optimizer.point.item() == pytest.approx(expected, rel=1e-4)


def test_every_restart_begins_ten_times_shorter() -> None:
    """After six rejected steps in a row the optimizer restarts; each restart begins with a step ten times shorter."""
    optimizer = LBFGS(torch.zeros(1, 4), first_step=1.0)
    nowhere = torch.tensor([float("nan")]), torch.zeros(1, 4)

    optimizer.tell(torch.tensor([1.0]), torch.ones(1, 4))
    lengths = [-optimizer.point[0, 0].item()]
    for _ in range(17):
        optimizer.tell(*nowhere)
        lengths.append(-optimizer.point[0, 0].item())

    expected = [begin * 0.1**cut for begin in (1.0, 0.1, 0.01) for cut in range(6)]
    assert lengths == pytest.approx(expected, rel=1e-3)


def test_an_accepted_step_ends_the_shortening() -> None:
    """After a rejected step and an accepted one, the unit step of the formula is tried again."""
    start = torch.tensor([[3.0, 4.0]])
    optimizer = LBFGS(start)
    optimizer.tell(*evaluate(bowl, optimizer.point))
    optimizer.tell(torch.tensor([float("nan")]), torch.zeros(1, 2))

    optimizer.tell(*evaluate(bowl, optimizer.point))

    assert optimizer.rejected.tolist() == [0]
    assert optimizer.steps.tolist() == [1]
    torch.testing.assert_close(optimizer.point, torch.ones(1, 2), rtol=0.0, atol=1e-3)


def test_a_rise_within_the_noise_is_accepted() -> None:
    """A value that is higher by less than the noise is accepted; one that is higher by more is rejected."""
    for rise, accepted in ((0.9e-3, 1), (1.1e-3, 0)):
        optimizer = LBFGS(torch.tensor([[3.0]]), first_step=1e-6)
        optimizer.tell(torch.tensor([100.0]), torch.tensor([[1e-3]]))

        optimizer.tell(torch.tensor([100.0 * (1.0 + rise)]), torch.tensor([[1e-3]]))

        assert optimizer.steps.tolist() == [accepted]


def test_steps_counts_accepted_points() -> None:
    """`steps` is the number of accepted points after the start; in Rosenbrock's valley some are rejected."""
    optimizer = LBFGS(torch.tensor([[-1.2, 1.0]]))

    path = walk(rosenbrock, optimizer, 40)

    assert not bool(path.accepted.all())
    assert optimizer.steps.tolist() == [int(path.accepted.sum()) - 1]


# ---- Scale and batch


@pytest.mark.parametrize("exponent", [-40, 40])
def test_a_power_of_two_as_a_factor_changes_nothing(exponent: int) -> None:
    """A function and 2^40 or 2^-40 times it give the same path: a power of two changes no rounding."""
    start = [[-1.2, 1.0, 0.3, 2.0]]

    scaled = minimise(lambda x: 2.0**exponent * rosenbrock(x), start, 40)

    assert_same(scaled, minimise(rosenbrock, start, 40))


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scale_does_not_matter_but_for_rounding(scale: float) -> None:
    """A function and 1e12 or 1e-12 times it give the same path until rounding errors add up."""
    start = [[-1.2, 1.0, 0.3, 2.0]]

    scaled = minimise(lambda x: scale * rosenbrock(x), start, 12)

    assert_same(scaled, minimise(rosenbrock, start, 12), rtol=0.0, atol=1e-3)


ROWS: list[tuple[Function, list[float]]] = [
    (rosenbrock, [-1.2, 1.0]),
    (himmelblau, [100.0, -200.0]),
    (with_a_wall, [9.0, 0.01]),
    (bowl, [1.0, 1.0]),
    (spikes, [3.0, -4.0]),
    (cliff, [2.0, -9.0]),
]


def different_functions(rows: list[int]) -> Function:
    """Return the function that evaluates row n of the points with the function of ROWS[rows[n]]."""
    return lambda x: torch.cat([ROWS[row][0](x[[n]]) for n, row in enumerate(rows)])


def test_rows_do_not_influence_each_other() -> None:
    """Each row of a batch takes the same path as alone, beside rows that reject steps, restart or do not move."""
    everyone = list(range(len(ROWS)))

    together = minimise(different_functions(everyone), [start for _, start in ROWS], 60)

    rejected = (~together.accepted).sum(dim=0)
    assert 0 < int((rejected > 2).sum()) < len(ROWS)
    for row, (function, start) in enumerate(ROWS):
        assert_same(together.row(row), minimise(function, [start], 60))


def test_a_row_that_is_not_finite_does_not_affect_the_others() -> None:
    """A row whose every value is NaN does not change the path of the row beside it."""
    together = minimise(
        lambda x: torch.cat([rosenbrock(x[:1]) * torch.nan, rosenbrock(x[1:])]), [[-1.2, 1.0], [3.0, -4.0]], 40
    )

    assert_same(together.row(1), minimise(rosenbrock, [[3.0, -4.0]], 40))


@pytest.mark.parametrize("when", [1, 2, 9, 30])
def test_keep(when: int) -> None:
    """The rows that `keep` keeps continue their paths unchanged, in the new order."""
    everyone, kept = list(range(len(ROWS))), [5, 0, 2]
    optimizer = LBFGS(torch.tensor([start for _, start in ROWS]), history=4)
    walk(different_functions(everyone), optimizer, when)

    optimizer.keep(torch.tensor(kept))
    after = walk(different_functions(kept), optimizer, 40 - when)

    for place, row in enumerate(kept):
        function, start = ROWS[row]
        alone = minimise(function, [start], 40, history=4)
        torch.testing.assert_close(after.points[:, place], alone.points[when:, 0], rtol=1e-5, atol=1e-6)
    assert optimizer.steps.shape == optimizer.rejected.shape == (3,)


def test_the_start_is_not_changed() -> None:
    """The optimizer does not change the tensor that it started from."""
    start = torch.tensor([[3.0, -4.0]])

    walk(rosenbrock, LBFGS(start), 10)

    assert start.tolist() == [[3.0, -4.0]]


# ---- Long rows, and a history in bf16


@pytest.mark.parametrize("function", [ellipse, rosenbrock, cliff, with_a_wall], ids=lambda one: one.__name__)
def test_rows_in_pieces_take_the_same_path(monkeypatch: pytest.MonkeyPatch, function: Function) -> None:
    """Rows that are processed in pieces take the same path as whole rows, rejected steps included."""
    start = torch.rand(2, 24, generator=torch.Generator().manual_seed(3)) * 2.0 + 0.1
    band_of_place = torch.tensor([0, 1, 1, 2])
    whole = minimise(function, start, 25, bands=Bands(band_of_place, 3, planes=3, parts=2), history=4)
    monkeypatch.setattr(bands_module, "WHOLE_UP_TO", 8)
    monkeypatch.setattr(bands_module, "PIECE", 6)
    bands = Bands(band_of_place, 3, planes=3, parts=2)
    pieces = minimise(function, start, 25, bands=bands, history=4)

    assert len(bands.pieces) == 6
    assert torch.equal(whole.accepted, pieces.accepted)
    # Where a function is steep, rounding errors grow from step to step.
    torch.testing.assert_close(whole.points[:12], pieces.points[:12], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("function", [ellipse, rosenbrock, log_cosh], ids=lambda one: one.__name__)
def test_a_history_in_bf16_reaches_nearly_the_same_value(function: Function) -> None:
    """With a history rounded to bf16 the lowest value is little higher than with one in fp32."""
    start = torch.linspace(-1.5, 2.5, 40)[None]
    full = minimise(function, start, 60, history=10)
    half = minimise(function, start, 60, history=10, kept_as=torch.bfloat16)

    assert min(half.kept_values()) - 1e-3 <= 1.5 * min(full.kept_values()) + 1e-2 * full.values[0, 0].item()


def test_a_history_in_bf16_takes_half_the_memory() -> None:
    """With `kept_as=torch.bfloat16` the history keeps both s and y at two bytes per number."""
    optimizer = LBFGS(torch.zeros(1, 10), history=3, kept_as=torch.bfloat16)

    assert (optimizer.history.s.element_size(), optimizer.history.y.element_size()) == (2, 2)
