"""The lesson's models on handwritten digits, from the first line to decisions in words.

Run: python examples/mnist.py [--model B] [--epochs 5] [--batch 32] [--data FOLDER]
    [--save mistakes.png] [--quick]
"""

import argparse

import numpy as np

import engine
import nn
from nn import plots


def model_a():
    """One layer per line."""
    return nn.Sequential(
        [
            nn.Rescaling(1 / 255, input_shape=(28, 28)),  # each batch, from bytes to [0, 1]
            nn.Flatten(),
            nn.Dense(512),
            nn.ReLU(),
            nn.Dense(256),
            nn.ReLU(),
            nn.Dense(64),
            nn.ReLU(),
            nn.Dense(32),
            nn.ReLU(),
            nn.Dense(10),
            nn.Softmax(),
        ]
    )


def model_b():
    """The activation as an argument of the layer."""
    return nn.Sequential(
        [
            nn.Rescaling(1 / 255, input_shape=(28, 28)),
            nn.Flatten(),
            *[nn.Dense(512, activation="relu") for _ in range(5)],
            nn.Dense(10, activation="softmax"),
        ]
    )


def say_decisions(model, x, y, count=5):
    """Print what the model decides about a few images, and how sure it is."""
    probabilities = model.predict(x[:count])
    for index, (p, decided) in enumerate(zip(probabilities, model.predict_classes(x[:count]))):
        second = np.argsort(p)[-2]
        verdict = "right" if decided == y[index] else f"wrong, it is a {y[index]}"
        print(
            f"Image {index}: a {decided}, at {p[decided]:.1%} "
            f"(next a {second}, at {p[second]:.1%}): {verdict}."
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", choices=["A", "B"], default="A", help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--data", metavar="FOLDER", help="a folder with the IDX files of MNIST")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--save", metavar="FILE", help="save a picture of the worst mistakes")
    parser.add_argument("--quick", action="store_true", help="the small subset that is included")
    options = parser.parse_args()

    engine.seed(options.seed)
    if options.quick:
        (x, y), (xv, yv) = nn.datasets.mnist_subset()
    else:
        (x, y), (xv, yv) = nn.datasets.mnist(options.data)

    model = model_a() if options.model == "A" else model_b()
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=options.batch, epochs=options.epochs, validation_data=(xv, yv))
    loss, accuracy = model.evaluate(xv, yv)
    say_decisions(model, xv, yv)
    print(
        f"Trained on {len(x):,} images; of {len(xv):,} that it has not seen, "
        f"it reads {accuracy:.2%} right (loss {loss:.4f})."
    )
    if options.save:
        plots.save(plots.plot_predictions(model, xv, yv), options.save)
        print(f"The worst mistakes are in {options.save}.")


if __name__ == "__main__":
    main()
