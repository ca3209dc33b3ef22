"""Which loss, labels and decision belong to which last activation, and what mistakes are told.

Run: python examples/pairings.py [--epochs 3] [--data FOLDER] [--save confusion.png] [--quick]
"""

import argparse
import warnings

import numpy as np

import engine
import nn

SPARSE, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"
BINARY = "binary_crossentropy"
# What is wrong: units, last activation, loss, and what becomes of the labels 0 to 9.
MISTAKES = {
    "sigmoid for one class of ten": (10, "sigmoid", SPARSE, lambda y: y),
    "no activation": (10, None, SPARSE, lambda y: y),
    "relu as the last activation": (10, "relu", ONE_HOT, nn.to_categorical),
    "logarithms of probabilities": (10, "log_softmax", SPARSE, lambda y: y),
    "softmax over one unit": (1, "softmax", ONE_HOT, lambda y: y == 8),
    "softmax with binary_crossentropy": (10, "softmax", BINARY, nn.to_categorical),
    "one-hot labels for the sparse loss": (10, "softmax", SPARSE, nn.to_categorical),
    "integer labels for the other": (10, "softmax", ONE_HOT, lambda y: y),
    "labels from 1 to 10": (10, "softmax", SPARSE, lambda y: y + 1),
    "fewer units than classes": (5, "softmax", SPARSE, lambda y: y),
    "rows that do not sum to 1": (10, "softmax", ONE_HOT, lambda y: 2 * nn.to_categorical(y)),
    "labels -1 and 1 for a sigmoid": (1, "sigmoid", BINARY, lambda y: (y > 4) * 2 - 1),
    "labels 0 and 1 for hinge": (1, None, "hinge", lambda y: (y > 4) * 1),
    "classes as values": (10, "softmax", "mse", nn.to_categorical),
}


def net(units, activation, hidden="relu"):
    dense = nn.Dense(128, activation=hidden), nn.Dense(units, activation=activation)
    return nn.Sequential([nn.Flatten(input_shape=(28, 28)), *dense])


def told(model, loss, x, y):
    """What a model that is compiled with a loss and trained on labels is told."""
    try:
        model.compile(loss=loss)
        model.fit(x, y, verbose=0)
    except (ValueError, nn.PairingWarning) as message:
        return f"{type(message).__name__}: {message}"
    return "nothing"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, help="default: 3; with --quick 6")
    parser.add_argument("--data", metavar="FOLDER", help="a folder with the IDX files of MNIST")
    parser.add_argument("--save", metavar="FILE", help="save which digits are taken for which")
    parser.add_argument("--quick", action="store_true", help="the small subset that is included")
    options = parser.parse_args()
    options.epochs = options.epochs or (6 if options.quick else 3)
    load = nn.datasets.mnist_subset if options.quick else lambda: nn.datasets.mnist(options.data)
    (x, y), (xv, yv) = load()
    x, xv = x / np.float32(255), xv / np.float32(255)

    def run(title, units, activation, labels, rows=(slice(None), slice(None))):
        engine.seed(1)
        print(f"\n{title}")
        (a, av), model = rows, net(units, activation)
        model.compile(optimizer="adam", metrics=["accuracy"])  # no loss given: the table has it
        test = xv[av], labels(yv[av])
        model.fit(x[a], labels(y[a]), epochs=options.epochs, validation_data=test)
        return model, *model.evaluate(*test)

    pairs = [(digits == 3) | (digits == 8) for digits in (y, yv)]
    eights, _, binary = run("An 8 or a 3?", 1, "sigmoid", lambda y: (y == 8) * 1, pairs)
    _, loss, one_hot = run("Which digit? One-hot labels", 10, "softmax", nn.to_categorical)
    digits, sparse_loss, sparse = run("Which digit? Integers", 10, "softmax", lambda y: y)
    p, decided = eights.predict(xv[pairs[1]][:1])[0, 0], eights.predict_classes(xv[pairs[1]][:1])[0]
    row = digits.predict(xv[:1])[0]
    warnings.simplefilter("error", nn.PairingWarning)
    print("\nMistakes, and what is said of them before anything is learnt:")
    for mistake, (units, activation, wrong, labels) in MISTAKES.items():
        print(f"- {mistake}:\n    {told(net(units, activation), wrong, x[:500], labels(y[:500]))}")
    linear = told(net(10, "softmax", hidden=None), SPARSE, x[:500], y[:500])
    print(f"- two Dense layers with nothing between them:\n    {linear}")
    print(
        f"\nsigmoid, one unit: p = {p:.4f} is {'above' if decided else 'not above'} 0.5, so class "
        f"{decided}. {binary:.2%} right.\n"
        f"softmax, ten units: the greatest of {np.round(row, 3)} is at {row.argmax()}, so a "
        f"{row.argmax()}. {sparse:.2%} right.\n"
        f"One-hot or integer labels, it is the same loss: {loss:.6f} and {sparse_loss:.6f}, "
        f"{one_hot:.2%} and {sparse:.2%} right.\n"
        f"None of the {len(MISTAKES) + 1} mistakes got as far as training a model for nothing."
    )
    if options.save:
        nn.plots.save(nn.plots.plot_confusion(digits, xv, yv), options.save)
        print(f"Which digits it takes for which is in {options.save}.")


if __name__ == "__main__":
    main()
