"""Which loss belongs to which last activation: the three pairings, each trained on real digits.

Run: python examples/pairings.py [--epochs 3] [--data FOLDER] [--quick]
"""

import argparse

import numpy as np

import engine
import nn


def net(units, activation):
    return nn.Sequential(
        [
            nn.Flatten(input_shape=(28, 28)),
            nn.Dense(128, activation="relu"),
            nn.Dense(units, activation=activation),
        ]
    )


def train(title, model, loss, train_set, test_set, options):
    """Train a model; returns it, its loss and its accuracy on the test set."""
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    print(f"{title}: {model.last_activation()} with {loss}")
    model.fit(*train_set, batch_size=32, epochs=options.epochs, validation_data=test_set)
    return model, *model.evaluate(*test_set)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, help="default: 3; with --quick 10")
    parser.add_argument("--data", metavar="FOLDER", help="a folder with the IDX files of MNIST")
    parser.add_argument("--quick", action="store_true", help="the small subset that is included")
    options = parser.parse_args()
    if options.epochs is None:
        options.epochs = 10 if options.quick else 3
    load = nn.datasets.mnist_subset if options.quick else lambda: nn.datasets.mnist(options.data)
    (x, y), (xv, yv) = load()
    x, xv = x / np.float32(255), xv / np.float32(255)

    engine.seed(1)
    pair, pair_v = (y == 3) | (y == 8), (yv == 3) | (yv == 8)
    eights, _, binary = train(
        "Is it an 8 or a 3? Labels 0 and 1",
        net(1, "sigmoid"),
        "binary_crossentropy",
        (x[pair], y[pair] == 8),
        (xv[pair_v], yv[pair_v] == 8),
        options,
    )
    engine.seed(1)
    _, loss, one_hot = train(
        "Which digit? One-hot labels",
        net(10, "softmax"),
        "categorical_crossentropy",
        (x, nn.to_categorical(y)),
        (xv, nn.to_categorical(yv)),
        options,
    )
    engine.seed(1)
    digits, sparse_loss, sparse = train(
        "Which digit? Integer labels",
        net(10, "softmax"),
        "sparse_categorical_crossentropy",
        (x, y),
        (xv, yv),
        options,
    )

    p, decided = eights.predict(xv[pair_v][:1])[0, 0], eights.predict_classes(xv[pair_v][:1])[0]
    row = digits.predict(xv[:1])[0]
    print(
        f"\nsigmoid, one unit: p = {p:.4f} is {'above' if decided else 'not above'} 0.5, so class "
        f"{decided}. {binary:.2%} right.\n"
        f"softmax, ten units: the greatest of {np.round(row, 3)} is at {row.argmax()}, so a "
        f"{row.argmax()}. {sparse:.2%} right.\n"
        f"One-hot or integer labels, it is the same loss: {loss:.6f} and {sparse_loss:.6f}, "
        f"{one_hot:.2%} and {sparse:.2%} right."
    )
    try:
        net(10, "sigmoid").compile(loss="sparse_categorical_crossentropy")
    except ValueError as error:
        print(f"And a pair that does not belong together is refused:\n    {error}")


if __name__ == "__main__":
    main()
