"""The engine alone: a net of two layers out of Tensors, trained by hand, no nn.

A ring of points around a disc: no line separates them. Run: python examples/by_hand.py
[--steps 500] [--save graph.png] [--quick]
"""

import argparse

import numpy as np

import engine
from engine import Tensor


def ring(count):
    """Points in a disc (class 0) and in a ring around it (class 1)."""
    draw = engine.random.generator()
    y = np.arange(count) % 2
    radius = draw.uniform(0, 1, count) + 1.5 * y
    angle = draw.uniform(0, 2 * np.pi, count)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return x.astype("float32"), y[:, None].astype("float32")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, help="default: 500; with --quick 300")
    parser.add_argument("--save", metavar="FILE", help="save the graph of the loss as a picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    options = parser.parse_args()
    steps = options.steps or (300 if options.quick else 500)

    engine.seed(0)
    x, y = ring(200)
    draw = engine.random.generator()
    names = {
        "w1": Tensor(draw.normal(size=(2, 16)).astype("float32"), requires_grad=True),
        "b1": Tensor(np.zeros(16, dtype="float32"), requires_grad=True),
        "w2": Tensor(draw.normal(size=(16, 1)).astype("float32") / 4, requires_grad=True),
        "b2": Tensor(np.zeros(1, dtype="float32"), requires_grad=True),
    }
    w1, b1, w2, b2 = names.values()

    def loss_of(x, y):
        logits = engine.tanh(x @ w1 + b1) @ w2 + b2
        return engine.mean(engine.softplus(logits) - y * logits), logits  # -log p(y), exactly

    first = loss_of(x, y)[0].item()
    for _ in range(steps):
        loss, logits = loss_of(x, y)
        loss.backward()
        for parameter in names.values():
            parameter.data -= 0.5 * parameter.grad.data
            parameter.grad = None
    right = np.mean((logits.data > 0) == y)

    # The gradient of one weight against what the loss does when that weight is moved.
    moved, step = [], 1e-2
    loss, _ = loss_of(x, y)
    slope = engine.grad(loss, w1).data[0, 0]
    for sign in (1, -1):
        w1.data[0, 0] += sign * step
        moved.append(loss_of(x, y)[0].item())
        w1.data[0, 0] -= sign * step
    print(
        f"{steps} steps: the loss went from {first:.3f} to {loss.item():.3f}, "
        f"{right:.0%} of 200 points are on the right side.\n"
        f"The gradient of w1[0, 0] is {slope:.6f}; moving it by {step} either way changes the "
        f"loss at a rate of {(moved[0] - moved[1]) / (2 * step):.6f}.\n"
        "A Tensor records what is computed from it; backward() walks that record from the loss "
        "to the weights, and a step against the gradient is one line."
    )
    if options.save:
        from nn import plots  # the picture alone comes from there

        small, _ = loss_of(x[:4], y[:4])
        plots.save(plots.plot_graph(small, {**names, "loss": small}), options.save)
        print(f"The record of such a loss, on four points, is drawn in {options.save}.")


if __name__ == "__main__":
    main()
