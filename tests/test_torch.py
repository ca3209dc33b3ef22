"""Side by side with PyTorch, where it is installed: the same weights, batches and formulas."""

import numpy as np
import pytest

import engine
import nn

torch = pytest.importorskip("torch", reason="PyTorch, the peer of these tests, is not installed")

SIZES = (784, 512, 256, 64, 32, 10)


def model_a():
    layers = [nn.Flatten(input_shape=(28, 28))]
    for units in SIZES[1:-1]:
        layers += [nn.Dense(units), nn.ReLU()]
    return nn.Sequential([*layers, nn.Dense(SIZES[-1]), nn.Softmax()])


def twin_of(model):
    """The same net in PyTorch, with the same weights; it ends with logits."""
    layers = [torch.nn.Flatten()]
    for kernel, bias in zip(*[iter(model.parameters())] * 2):
        linear = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(kernel.numpy().T))
            linear.bias.copy_(torch.from_numpy(bias.numpy()))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (
            lambda: nn.optimizers.SGD(learning_rate=0.05),
            lambda p: torch.optim.SGD(p, lr=0.05),
        ),
        (
            lambda: nn.optimizers.SGD(learning_rate=0.02, momentum=0.9),
            lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9),
        ),
    ],
    ids=["sgd", "momentum"],
)
def test_losses_agree_over_100_steps(ours, theirs):
    (x, y), _ = nn.datasets.mnist_subset()
    x = x / np.float32(255)
    engine.seed(3)
    model = model_a()
    twin = twin_of(model)
    model.compile(optimizer=ours(), loss="sparse_categorical_crossentropy")
    optimizer = theirs(twin.parameters())
    losses, worst = [], 0.0
    for step in range(100):
        batch = slice(32 * step, 32 * step + 32)
        loss = model.train_on_batch(x[batch], y[batch])
        expected = torch.nn.functional.cross_entropy(
            twin(torch.from_numpy(x[batch])), torch.from_numpy(y[batch])
        )
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        losses.append(loss)
        worst = max(worst, abs(loss - expected.item()) / expected.item())
    assert worst < 1e-4
    assert losses[-1] < 0.6 * losses[0]


def test_gradients_of_the_net_agree_in_float64():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 6)), rng.integers(0, 4, 8)
    kernel, bias = rng.normal(size=(6, 4)), rng.normal(size=4)
    ours = [engine.Tensor(value, requires_grad=True) for value in (x, kernel, bias)]
    theirs = [torch.tensor(value, requires_grad=True) for value in (x, kernel, bias)]
    for activation, peer in (
        (engine.relu, torch.relu),
        (engine.sigmoid, torch.sigmoid),
        (engine.tanh, torch.tanh),
    ):
        loss = nn.losses.sparse_categorical_crossentropy(
            y, engine.softmax(activation(engine.dense(*ours)))
        )
        expected = torch.nn.functional.cross_entropy(
            peer(theirs[0] @ theirs[1] + theirs[2]), torch.from_numpy(y)
        )
        np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)
        for got, wanted in zip(engine.grad(loss, ours), torch.autograd.grad(expected, theirs)):
            np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-10, atol=1e-13)
