"""An operation of one's own: snake, x + sin(a x)^2 / a, with its gradient, checked and used.

An activation for what repeats (Ziyin et al. 2020). Run: python examples/own_op.py
[--save snake.png] [--quick]
"""

import argparse

import numpy as np

import engine
import nn
from engine import op
from nn import plots


@op(lambda g, x, a: g * (1 + engine.sin(2 * a * x)))  # sin(2z) = 2 sin(z) cos(z)
def snake(x, a=3.0):
    return x + np.sin(a * x) ** 2 / a


@op(lambda g, x: g * (1 + engine.sin(x)))  # which forgets the 2 a
def wrong(x):
    return x + np.sin(3 * x) ** 2 / 3


def train(activation, x, y, epochs):
    """A small net's fit of a wave, and its error beyond the part it has seen."""
    engine.seed(0)
    model = nn.Sequential([nn.Dense(32, activation=activation, input_shape=(1,)), nn.Dense(1)])
    model.compile(optimizer=nn.optimizers.Adam(learning_rate=0.01), loss="mean_squared_error")
    seen = np.abs(x[:, 0]) < 2
    model.fit(x[seen], y[seen], epochs=epochs, batch_size=64, verbose=0)
    return model.evaluate(x[seen], y[seen]), model.evaluate(x[~seen], y[~seen])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--save", metavar="FILE", help="save its curve and slope as a picture")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args()
    epochs = 300 if options.quick else 1000

    engine.seed(0)
    points = np.linspace(-2, 2, 9)
    engine.gradcheck(snake, points)
    engine.gradgradcheck(snake, points)
    print("gradcheck and gradgradcheck: snake's formula is right, and so is its second derivative.")
    try:
        engine.gradcheck(wrong, points)
    except engine.GradcheckError as error:
        print(f"A wrong formula is caught: {error}")

    curve = engine.hessian(lambda t: snake(t), 0.3).item()
    print(f"Its second derivative at 0.3 is {curve:.6f}; 2 a cos(2 a 0.3) = {6 * np.cos(1.8):.6f}.")

    x = np.linspace(-4, 4, 400, dtype="float32")[:, None]
    y = np.sin(3 * x)
    for activation in (snake, "relu"):
        inside, beyond = train(activation, x, y, epochs)
        name = nn.activations.name_of(nn.activations.get(activation))
        print(f"{name}: an error of {inside:.4f} where it saw the wave, {beyond:.4f} beyond.")
    print(
        "One row, a forward and a formula written with other operations, is an operation like "
        "the built-in ones: recorded, differentiated to any order, and an activation by itself."
    )
    if options.save:
        plots.save(plots.plot_activations([snake, "relu"]), options.save)
        print(f"The curves are in {options.save}.")


if __name__ == "__main__":
    main()
