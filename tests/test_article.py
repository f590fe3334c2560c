"""The worked examples of the article, with the right values, and its two programs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finegrid.models.layers import linear_layers
from finegrid.models.network import LinearStack
from finegrid.models.seeds import generator
from finegrid.planning.benchmark import read_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.model import prepare_model
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Network, Specification, Task, Variant, model_key
from finegrid.records.training import Optimizer, Training
from finegrid.training.batches import epoch_batches
from methods.injection import added
from methods.lg import LG
from tests.training.assets import Assets, read_history, steps

# The second example. The second column of W meets the 0 of x, so that any numbers do there.
X, Y = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])
W = torch.tensor([[0.1, 0.5], [0.3, -0.2]])
GRADIENT = torch.tensor([[-1.8, 0.0], [0.6, 0.0]])
RATES = (0.01, 0.1, 0.3)
POINTS: dict[str, Any] = {"x": [[1], [2], [3], [4], [5]], "y": [0, -1, -2, -3, -4], "held_out": 0}
# What the programs printed, epoch by epoch.
PRINTED_NETWORK = (2.3045, 2.0873, 1.7742, 1.4945, 1.2083, 0.9814, 0.8121, 0.6749, 0.5762, 0.5119)
PRINTED_LINE = (
    *(0.015625, 0.0078125, 0.00390625, 0.002294922, 0.001273193),
    *(0.000636451, 0.000316594, 0.000156535, 7.8125e-05, 3.90625e-05),
)


def squared_error(prediction: torch.Tensor, target: torch.Tensor = Y) -> torch.Tensor:
    return ((prediction - target) ** 2).sum()


def factored(
    weight: torch.Tensor, method: LG
) -> tuple[torch.nn.Module, torch.nn.ParameterDict, torch.Tensor]:
    """A layer of that weight without bias as the method leaves it; its tensors; its L."""
    out, into = weight.shape
    model = LinearStack((into, out, 1))
    model.body[0].load_state_dict({"weight": weight, "bias": torch.zeros(out)})
    method.apply(model, torch.Generator().manual_seed(3))
    (layer,) = linear_layers(model, ("linear",))
    tensors: Any = added(layer.module, layer.child("lg"))
    return layer.module, tensors, tensors.L


def lg(rank: int, **settings: Any) -> LG:
    return LG(rank=rank, targets=("linear",), **settings)


def test_the_first_example_has_a_loss_of_2_and_learns() -> None:
    """The article: G x = [1, 1], loss 0, gradient 0. Its own numbers give another product."""
    g = torch.nn.Parameter(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    x, target = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 1.0])
    prediction = torch.eye(2) @ g @ x
    assert prediction.tolist() == [2, 0]
    loss = squared_error(prediction, target)
    assert loss.item() == 2
    torch.autograd.backward(loss)
    gradient = torch.tensor([[2.0, 0.0, 2.0], [-2.0, 0.0, -2.0]])
    torch.testing.assert_close(g.grad, gradient)
    torch.testing.assert_close(torch.outer(2 * (prediction - target), x).detach(), gradient)
    torch.optim.SGD([g], lr=0.1).step()
    torch.testing.assert_close(g.detach(), torch.tensor([[0.8, 0.0, 0.8], [0.2, 1.0, 0.2]]))
    assert squared_error(g.detach() @ x, target).item() == pytest.approx(0.6**2 + 0.6**2)


def test_the_second_example_in_the_articles_numbers() -> None:
    """At its rate of 0.01; the article's step ends further from the target than it began."""
    weight = torch.nn.Parameter(torch.tensor([[0.1, 0.2], [0.3, 0.4]]))
    torch.autograd.backward(squared_error(weight @ X))
    torch.optim.SGD([weight], lr=0.01).step()
    torch.testing.assert_close(weight.detach(), torch.tensor([[0.118, 0.2], [0.294, 0.4]]))
    theirs = torch.tensor([[0.098, 0.2], [0.296, 0.396]])
    assert squared_error(theirs @ X).item() > 0.9 > squared_error(weight.detach() @ X).item()


def test_the_loss_of_the_second_example_is_0_90() -> None:
    torch.testing.assert_close(W @ X, torch.tensor([0.1, 0.3]))
    assert squared_error(W @ X).item() == pytest.approx(0.81 + 0.09)


def test_the_gradient_of_the_second_example() -> None:
    weight = W.clone().requires_grad_()
    torch.autograd.backward(squared_error(weight @ X))
    torch.testing.assert_close(weight.grad, GRADIENT)
    torch.testing.assert_close(torch.outer(2 * (W @ X - Y), X), GRADIENT)


@pytest.mark.parametrize("rate", RATES)
def test_the_update_goes_against_the_gradient(rate: float) -> None:
    weight = torch.nn.Parameter(W.clone())
    torch.autograd.backward(squared_error(weight @ X))
    torch.optim.SGD([weight], lr=rate).step()
    torch.testing.assert_close(weight.detach(), W - rate * GRADIENT)
    # The error shrinks by 1 - 2 eta |x|^2, and |x| = 1; along the gradient it would grow.
    assert squared_error(weight @ X).item() == pytest.approx(0.9 * (1 - 2 * rate) ** 2)
    wrong = squared_error((W + rate * GRADIENT) @ X).item()
    assert wrong == pytest.approx(0.9 * (1 + 2 * rate) ** 2)
    assert wrong > 0.9


def test_the_factored_layer_has_the_gradient_of_the_second_example() -> None:
    layer, tensors, left = factored(W, lg(2, residual=False))
    prediction = layer(X)
    assert squared_error(prediction).item() == pytest.approx(0.9)
    torch.autograd.backward(squared_error(prediction))
    torch.testing.assert_close(tensors["G"].grad, left.T @ GRADIENT)


@pytest.mark.parametrize("rate", RATES)
def test_a_step_of_the_factor_moves_the_product_by_l_lt(rate: float) -> None:
    layer, tensors, left = factored(W, lg(2, residual=False))
    torch.autograd.backward(squared_error(layer(X)))
    torch.optim.SGD([tensors["G"]], lr=rate).step()
    moved = W - rate * left @ left.T @ GRADIENT
    torch.testing.assert_close(left @ tensors["G"].detach(), moved)
    assert squared_error(layer(X)).item() == pytest.approx(squared_error(moved @ X).item())
    assert squared_error(layer(X)).item() < 0.9


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (4, 4), (1, 6), (6, 1)])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize(
    "settings", [{"residual": False}, {"residual": True}, {"start": "gaussian"}]
)
def test_the_gradient_of_g_is_l_t_times_that_of_w(
    shape: tuple[int, int], rank: int, settings: dict[str, Any]
) -> None:
    draw = torch.Generator().manual_seed(0)
    weight, rank = torch.randn(shape, generator=draw), min(rank, *shape)
    layer, tensors, left = factored(weight, lg(rank, **settings))
    inputs = torch.randn(9, shape[1], generator=draw)
    output = layer(inputs)
    output.retain_grad()
    torch.autograd.backward(output.sin().sum() ** 2)
    # Of W it would be sum of (dl/dy) x^T over the batch, of shape (out, in).
    assert output.grad is not None
    of_product = output.grad.T @ inputs
    assert of_product.shape == shape
    assert tensors["G"].grad.shape == (rank, shape[1])
    torch.testing.assert_close(tensors["G"].grad, left.T @ of_product)
    assert not left.requires_grad


def test_the_gradients_of_the_two_factors_have_no_sum() -> None:
    draw = torch.Generator().manual_seed(1)
    left = torch.randn(5, 2, generator=draw, requires_grad=True)
    right = torch.randn(2, 7, generator=draw, requires_grad=True)
    x, y = torch.randn(7, generator=draw), torch.randn(5, generator=draw)
    output = left @ right @ x
    torch.autograd.backward(((output - y) ** 2).sum())
    error = 2 * (output - y).detach()
    torch.testing.assert_close(left.grad, torch.outer(error, (right @ x).detach()))
    torch.testing.assert_close(right.grad, left.detach().T @ torch.outer(error, x))
    with pytest.raises(RuntimeError, match="size"):
        left.grad + right.grad  # type: ignore[operator]


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_frozen_factor_scales_the_gradient(scale: float) -> None:
    draw = torch.Generator().manual_seed(2)
    left = scale * torch.randn(6, 3, generator=draw)
    right = torch.randn(3, 4, generator=draw).requires_grad_()
    x = torch.randn(4, generator=draw)
    output = left @ right @ x
    torch.autograd.backward((output / scale).sum())
    of_product = torch.outer(torch.full((6,), 1 / scale), x)
    assert right.grad is not None
    norms = right.grad.norm().item(), of_product.norm().item()
    assert norms[0] <= torch.linalg.matrix_norm(left, 2).item() * norms[1] * (1 + 1e-6)
    # What of the gradient is orthogonal to the columns of L is lost.
    basis = torch.linalg.qr(left).Q
    seen = (basis @ basis.T @ of_product).norm().item()
    singular = torch.linalg.svdvals(left)
    assert singular[-1].item() * seen * (1 - 1e-6) <= norms[0]


@pytest.mark.parametrize(("rank", "whole"), [(5, True), (2, False)])
def test_the_literal_form_is_the_product_of_its_factors(rank: int, whole: bool) -> None:
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(4))
    layer, tensors, left = factored(weight, lg(rank, residual=False))
    inputs = torch.randn(3, 7, generator=torch.Generator().manual_seed(5))
    product = left @ tensors["G"].detach()
    torch.testing.assert_close(layer(inputs), inputs @ product.T)
    assert torch.allclose(product, weight, atol=1e-5) == whole
    # Eckart and Young 1936: no product of that rank is nearer than by the singular values left.
    missing = torch.linalg.matrix_norm(weight - product).item()
    left_out = torch.linalg.svdvals(weight)[rank:].norm().item()
    assert missing == pytest.approx(left_out, abs=1e-5)


@pytest.fixture(scope="module")
def programs() -> list[Specification]:
    return list(make_plan(read_benchmark("article-programs")).runs.values())


@pytest.mark.parametrize(
    ("model", "layers", "rate", "batch"),
    [("mlp", (784, 256, 128, 10), 1e-3, 64), ("line", (1, 1), 1e-2, 2)],
)
def test_the_programs_have_the_settings_of_the_article(
    programs: list[Specification], model: str, layers: tuple[int, ...], rate: float, batch: int
) -> None:
    cells = [spec for spec in programs if spec.model.name == model]
    chosen = [spec for spec in cells if "steps" not in spec.variant.name]
    assert {spec.variant.method for spec in chosen} >= {"full"}
    for spec in chosen:
        assert isinstance(spec.model, Network)
        assert (spec.model.layers, spec.model.pretraining) == (layers, None)
        training = spec.training
        assert (training.learning_rate, training.batch_size, training.epochs) == (rate, batch, 10)
        assert (training.optimizer.name, training.optimizer.momentum) == ("sgd", 0)
        assert training.optimizer.weight_decay == 0
        assert (training.schedule, training.warmup_fraction) == ("constant", 0)
        assert training.gradient_clip_norm is None


def test_the_points_are_the_articles(programs: list[Specification]) -> None:
    options = [spec.task.options for spec in programs if spec.task.name.startswith("five-points")]
    assert options
    assert all({key: given[key] for key in POINTS} == POINTS for given in options)


def test_one_cell_takes_as_many_steps_as_the_article(programs: list[Specification]) -> None:
    """Of 60,000 images an epoch is 938 batches of 64."""
    named = {one.variant.name: one for one in programs}
    ((name, spec),) = ((name, one) for name, one in named.items() if "steps" in name)
    steps = spec.training.epochs * -(-int(str(spec.task.options["train"])) // 64)
    assert name == f"full-{steps}-steps"
    assert abs(steps - 10 * -(-60_000 // 64)) < 63


def test_the_first_printed_loss_is_that_of_guessing() -> None:
    """Of a network that was loaded trained it would not be ln 10."""
    assert PRINTED_NETWORK[0] == pytest.approx(np.log(10), abs=0.002)
    assert list(PRINTED_NETWORK) == sorted(PRINTED_NETWORK, reverse=True)


def test_the_printed_losses_of_the_line_are_no_descent_on_its_points() -> None:
    """Along one eigenvector the loss falls to a fifth in an epoch, along the other by 2 %."""
    x = np.arange(1.0, 6.0)
    hessian = 2 * np.array([[(x**2).mean(), x.mean()], [x.mean(), 1.0]])
    # An epoch has three steps of rate 0.01, and the loss is the square of the error.
    slow, fast = ((1 - 0.01 * np.linalg.eigvalsh(hessian)) ** 6).tolist()
    assert (slow, fast) == (pytest.approx(0.980, abs=5e-4), pytest.approx(0.198, abs=5e-4))
    factors = np.divide(PRINTED_LINE[1:], PRINTED_LINE[:-1])
    assert ((factors > 0.49) & (factors < 0.6)).all()
    halvings = [0, 1, -1]  # the second, the third and the last of the printed losses
    assert factors[halvings].tolist() == [0.5, 0.5, 0.5]
    assert PRINTED_LINE[0] == 2**-6
    assert PRINTED_LINE[-1] * 100 == pytest.approx(2**-8)


def by_hand(
    weight: float, bias: float, batches: list[list[int]], rate: float
) -> tuple[list[float], float, float]:
    """Gradient descent on the mean squared error of the points, batch by batch."""
    x, y = np.array(POINTS["x"], dtype=float)[:, 0], np.array(POINTS["y"], dtype=float)
    losses = []
    for batch in batches:
        error = weight * x[batch] + bias - y[batch]
        losses.append(float((error**2).mean()))
        weight -= rate * float((2 * error * x[batch]).mean())
        bias -= rate * float((2 * error).mean())
    return losses, weight, bias


def test_the_linear_regression_is_gradient_descent_by_hand(
    tmp_path: Path, quiet_process: None
) -> None:
    task = Task(name="five-points", task="given-points", options=POINTS)
    model = Network(kind="network", name="line", layers=(1, 1))
    training = Training(
        learning_rate=0.01,
        epochs=10,
        batch_size=2,
        schedule="constant",
        gradient_clip_norm=None,
        checkpoint="last",
        optimizer=Optimizer(name="sgd"),
    )
    full = Variant(name="full", method="full")
    spec = Specification(task=task, model=model, variant=full, training=training, seed=1)
    prepare_task(task, tmp_path / "tasks" / task.key)
    folder = tmp_path / "models" / model_key(model)
    prepare_model(model, folder, tasks=tmp_path / "tasks", cache=tmp_path)
    run = Assets(tmp_path, {"line": task}, {"line": model})
    start = run.plain(spec).state_dict()
    reached = run.perform(spec, tmp_path)
    order = generator(1, "order")
    batches = [batch for _ in range(10) for batch in epoch_batches([1] * 5, 2, order)]
    losses, weight, bias = by_hand(
        start["head.weight"].item(), start["head.bias"].item(), batches, rate=0.01
    )
    assert len(losses) == 30
    found = [event["loss"] for event in steps(read_history(tmp_path))]
    assert found == pytest.approx(losses, rel=1e-4)
    error = float(((weight * np.arange(1, 6) + bias - np.array(POINTS["y"])) ** 2).mean())
    scores = reached["metrics"].test
    assert scores["mse"].value == pytest.approx(error, rel=1e-3)
    # The y are 0, -1, -2, -3 and -4, whose variance is 2.
    assert scores["r2"].value == pytest.approx(1 - error / 2, rel=1e-5)
