"""Why deep nets left the sigmoid: the gradient that reaches the first of ten layers.

Run: python examples/vanishing.py [--epochs 3] [--save gradients.png] [--quick]
"""

import argparse

import numpy as np

import engine
import nn
from nn import plots

WIDTH, DEPTH = 64, 10


def make(activation):
    """Ten hidden layers, with first weights that suit the activation, and the ten digits."""
    engine.seed(1)
    layers = [nn.Dense(WIDTH, activation=activation) for _ in range(DEPTH)]
    flatten, last = nn.Flatten(input_shape=(28, 28)), nn.Dense(10, activation="softmax")
    model = nn.Sequential([flatten, *layers, last])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def gradient_norms(model, x, y):
    """The norm of the loss's gradient in respect of each hidden kernel, from the first layer on."""
    loss = nn.losses.sparse_categorical_crossentropy(y, model(x))
    gradients = engine.grad(loss, [layer.kernel for layer in model.layers[1:-1]])
    return np.array([np.linalg.norm(gradient.numpy()) for gradient in gradients])


def draw(norms, file):
    axes = plots.grid(1, 1, 7, 4)
    numbers = np.arange(1, DEPTH + 1)
    for (name, values), style in zip(norms.items(), plots.line_styles(len(norms))):
        axes[0].plot(numbers, values, label=name, **style)
    axes[0].set_yscale("log")
    axes[0].set_xticks(numbers)
    axes[0].set_xlabel("hidden layer, 1 next to the input")
    axes[0].set_title("norm of the first gradient of each kernel")
    axes[0].legend(loc="lower right")
    axes[0].grid(alpha=0.3)
    plots.save(axes, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, help="default: 3; with --quick 1")
    parser.add_argument("--save", metavar="FILE", help="save the norms per layer as a picture")
    parser.add_argument("--quick", action="store_true", help="one epoch")
    options = parser.parse_args()
    epochs = options.epochs or (1 if options.quick else 3)
    (x, y), (xv, yv) = nn.datasets.mnist_subset()
    x, xv = x / np.float32(255), xv / np.float32(255)

    norms, accuracies = {}, {}
    for name in ("sigmoid", "tanh", "relu"):
        model = make(name)
        norms[name] = gradient_norms(model, x[:256], y[:256])
        model.fit(x, y, epochs=epochs, verbose=0)
        accuracies[name] = model.evaluate(xv, yv)[1]
        print(f"{name:<8} gradients, first layer to tenth: ", end="")
        print(*(f"{norm:.1e}" for norm in norms[name]))

    print()
    for name, values in norms.items():
        per_layer = (values[0] / values[-1]) ** (1 / (DEPTH - 1))
        print(
            f"{name}: the first layer gets {values[0] / values[-1]:.1e} of the tenth's gradient, "
            f"a factor of {per_layer:.2f} a layer; {accuracies[name]:.1%} of the digits right "
            f"after {epochs} epoch{'s' if epochs > 1 else ''}."
        )
    print(
        "The slope of sigmoid is 0.25 at most, so that ten layers leave next to nothing of a "
        "gradient; ReLU passes it on whole, or not at all."
    )
    if options.save:
        draw(norms, options.save)
        print(f"The norms are in {options.save}.")


if __name__ == "__main__":
    main()
