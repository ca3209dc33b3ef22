"""Why a net needs activations: stacked Dense layers are one linear layer, and XOR is not linear.

Two nets of the same size see the four cases of XOR. One has nothing between its Dense layers, the
other a ReLU. Run: python examples/xor.py
[--save boundaries.png] [--quick]
"""

import argparse
import warnings

import numpy as np

import engine
import nn
from nn import plots

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
Y = np.array([0, 1, 1, 0])


def train(between, epochs, seed):
    """A net of 8 hidden units, with the layers `between` its two Dense layers."""
    engine.seed(seed)
    model = nn.Sequential(
        [
            nn.Dense(8, kernel_initializer="he_uniform", input_shape=(2,)),
            *between,
            nn.Dense(1, activation="sigmoid"),
        ]
    )
    optimizer = nn.optimizers.Adam(learning_rate=0.05)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    with warnings.catch_warnings():  # of Dense layers with nothing between them: here on purpose
        warnings.simplefilter("ignore", nn.PairingWarning)
        model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0)
    return model


def report(title, model):
    loss, accuracy = model.evaluate(X, Y)
    print(f"{title}: loss {loss:.4f}, {accuracy:.0%} of the four cases right")
    for case, p, decided in zip(X.astype(int), model.predict(X)[:, 0], model.predict_classes(X)):
        print(f"    {case[0]} xor {case[1]}: p = {p:.3f}, decides {decided}")
    return accuracy


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--save", metavar="FILE", help="save where both draw their lines")
    parser.add_argument("--quick", action="store_true", help="fewer epochs: under a second")
    options = parser.parse_args()
    epochs = 150 if options.quick else options.epochs

    stacked = train([], epochs, options.seed)
    linear = report("Dense, Dense", stacked)
    first, second = stacked.layers
    one = first.kernel.numpy() @ second.kernel.numpy()
    shift = first.bias.numpy() @ second.kernel.numpy() + second.bias.numpy()
    same = np.allclose(stacked.predict(X), engine.sigmoid(X @ one + shift), atol=1e-6)
    with_relu = train([nn.ReLU()], epochs, options.seed)
    bent = report("Dense, ReLU, Dense", with_relu)

    print(
        f"\nThe two Dense layers are {'exactly' if same else 'not'} the one linear layer "
        f"x @ {np.round(one[:, 0], 2)} + {shift[0]:.2f}.\n"
        f"No line separates XOR: stacked layers got {linear:.0%}, at a loss near log 2 = 0.693, "
        "that of guessing.\n"
        f"With one ReLU between them, the same layers got {bent:.0%}."
    )
    if options.save:
        axes = plots.grid(2, 2, 4.6, 4.4)
        for ax, model, title in zip(axes, (stacked, with_relu), ("no activation", "ReLU")):
            plots.plot_decision_boundary(model, X, Y, ax=ax)
            ax.set_xlabel(f"{title} between the layers", fontsize=12)
        plots.save(axes, options.save)
        print(f"Where they draw their lines is in {options.save}.")


if __name__ == "__main__":
    main()
