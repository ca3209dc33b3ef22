"""Why depth needs activations: five Dense layers in a row are one, however wide they are.

Two nets of the same size see two spirals. One has nothing between its layers, the other ReLU.
Run: python examples/linear_collapse.py [--epochs 200] [--save boundaries.png] [--quick]
"""

import argparse
import warnings

import numpy as np

import engine
import nn
from nn import plots

WIDTH, DEPTH = 32, 4  # hidden layers; one more gives the answer


def spirals(count):
    """Two spirals of `count` points each, wound into each other."""
    draw = engine.random.generator()
    turn = np.tile(np.linspace(0.5, 3.2, count), 2) * np.pi
    y = np.repeat([0, 1], count)
    angle = turn + np.pi * y
    x = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / 10
    return (x + 0.02 * draw.normal(size=x.shape)).astype("float32"), y


def train(activation, x, y, epochs):
    engine.seed(2)
    layers = [nn.Dense(WIDTH, activation=activation) for _ in range(DEPTH)]
    model = nn.Sequential([*layers, nn.Dense(1, activation="sigmoid")])
    optimizer = nn.optimizers.Adam(learning_rate=0.005)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    with warnings.catch_warnings():  # of Dense layers with nothing between them: here on purpose
        warnings.simplefilter("ignore", nn.PairingWarning)
        model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model


def product(model):
    """The kernels of a model multiplied, and the bias that its biases come to."""
    kernel, bias = np.eye(2), np.zeros(2)
    for layer in model.layers:
        kernel = kernel @ layer.kernel.numpy().astype(np.float64)
        bias = bias @ layer.kernel.numpy() + layer.bias.numpy()
    return kernel, bias


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, help="default: 200; with --quick 80")
    parser.add_argument("--save", metavar="FILE", help="save both boundaries, side by side")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args()
    epochs = options.epochs or (80 if options.quick else 200)

    engine.seed(1)
    x, y = spirals(150)
    stacked, bent = train(None, x, y, epochs), train("relu", x, y, epochs)
    linear_accuracy, relu_accuracy = (model.evaluate(x, y)[1] for model in (stacked, bent))

    kernel, bias = product(stacked)
    hidden = np.linalg.multi_dot([layer.kernel.numpy() for layer in stacked.layers[:-1]])
    apart = np.abs(stacked.predict(x) - engine.sigmoid(x @ kernel + bias)).max()
    rank = np.linalg.matrix_rank(hidden, tol=1e-4 * np.linalg.norm(hidden))
    print(
        f"The {DEPTH} hidden kernels multiplied are one kernel of shape {hidden.shape} and rank "
        f"{rank}: no layer gives back what the narrowest, the plane itself, has not.\n"
        f"With the last they are x @ {np.round(kernel[:, 0], 2)} + {bias[0]:.2f}, one line; all "
        f"probabilities agree within {apart:.0e}.\n"
        f"Nothing between the layers: {linear_accuracy:.0%} of the spirals' points right.\n"
        f"ReLU between them: {relu_accuracy:.0%}, with as many weights."
    )
    if options.save:
        axes = plots.grid(2, 2, 5.2, 4.8)
        for ax, model, title in zip(axes, (stacked, bent), ("no activation", "ReLU")):
            plots.plot_decision_boundary(model, x, y, ax=ax)
            accuracy = linear_accuracy if model is stacked else relu_accuracy
            ax.set_xlabel(f"{title}: {accuracy:.0%} right", fontsize=12)
        plots.save(axes, options.save)
        print(f"Both boundaries are in {options.save}.")


if __name__ == "__main__":
    main()
