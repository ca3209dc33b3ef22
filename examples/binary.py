"""A yes or no from a table: is a breast mass malignant? And what a threshold does to mistakes.

569 masses, 30 measures of their cell nuclei each (UCI, CC BY 4.0; comes with hotgrad).
Run: python examples/binary.py [--epochs 40] [--save confusion.png] [--quick]
"""

import argparse

import engine
import nn
from nn import plots


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, help="default: 40; with --quick 20")
    parser.add_argument("--save", metavar="FILE", help="save the confusion matrix as a picture")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args()
    epochs = options.epochs or (20 if options.quick else 40)

    (x, y), (xv, yv) = nn.datasets.breast_cancer()
    mean, deviation = x.mean(axis=0), x.std(axis=0)  # of what is learnt from alone
    x, xv = (x - mean) / deviation, (xv - mean) / deviation

    engine.seed(0)
    model = nn.Sequential(
        [
            nn.Dense(16, activation="relu", input_shape=(30,)),
            nn.Dense(16, activation="relu"),
            nn.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=16, epochs=epochs, verbose=0)
    loss, accuracy = model.evaluate(xv, yv)

    p = model.predict(xv)
    sick, well = int((yv == 1).sum()), int((yv == 0).sum())
    print(f"Of {len(yv)} masses not seen before {sick} are malignant, {well} benign.")
    for threshold in (0.5, 0.2, 0.05):
        (_, false_alarms), (missed, found) = nn.metrics.confusion_matrix(yv, p, threshold=threshold)
        print(
            f"Above {threshold:.0%} it says malignant: {found} of {sick} found, {missed} missed, "
            f"{false_alarms} false alarms."
        )
    always = well / len(yv)
    print(
        f"{accuracy:.1%} right (loss {loss:.3f}), where to say benign always would give "
        f"{always:.1%}. The one sigmoid unit gives a probability; where to cut it is a choice: "
        "a lower threshold misses fewer and alarms more."
    )
    if options.save:
        picture = plots.plot_confusion(model, xv, yv, names=["benign", "malignant"])
        plots.save(picture, options.save)
        print(f"The confusion matrix is in {options.save}.")


if __name__ == "__main__":
    main()
