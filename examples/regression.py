"""A curve with its uncertainty: five nets agree where there are data, and nowhere else.

An ensemble of nets that differ by their first weights alone (Lakshminarayanan et al. 2017).
Run: python examples/regression.py [--members 5] [--save curve.png] [--quick]
"""

import argparse

import numpy as np

import engine
import nn
from nn import plots

NOISE = 0.1


def curve(x):
    return np.sin(3 * x) + 0.5 * x


def data(count=120):
    """Noisy points of the curve in [-2, -0.5] and in [0.5, 2]: nothing in between."""
    draw = engine.random.generator()
    x = draw.uniform(0.5, 2, (count, 1)) * draw.choice([-1, 1], (count, 1))
    return x.astype("float32"), (curve(x) + NOISE * draw.normal(size=x.shape)).astype("float32")


def member(seed, x, y, epochs):
    engine.seed(seed)
    model = nn.Sequential(
        [nn.Dense(64, activation="relu"), nn.Dense(64, activation="relu"), nn.Dense(1)]
    )
    model.compile(optimizer=nn.optimizers.Adam(learning_rate=0.01), loss="mean_squared_error")
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model


def draw(grid, mean, spread, x, y, file):
    axes = plots.grid(1, 1, 8, 4.5)
    band = {"alpha": 0.35, "facecolor": "C0", "edgecolor": "C0", "hatch": "///"}
    low, high = mean - 2 * spread, mean + 2 * spread
    axes[0].fill_between(grid, low, high, label="twice the spread of the nets", **band)
    axes[0].plot(grid, mean, linewidth=2.2, color="C0", label="mean of the nets")
    axes[0].plot(grid, curve(grid), "k--", label="the curve behind the data")
    axes[0].plot(x, y, "k.", markersize=5, label="data")
    axes[0].set_ylim(-4, 4)
    axes[0].legend(ncols=2, frameon=False)
    plots.save(axes, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--members", type=int, default=5, help="nets. Default: %(default)s")
    parser.add_argument("--save", metavar="FILE", help="save the curve and its band as a picture")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args()
    epochs = 400 if options.quick else 800

    engine.seed(0)
    x, y = data()
    grid = np.linspace(-3, 3, 301, dtype="float32")
    models = [member(seed, x, y, epochs) for seed in range(options.members)]
    predictions = np.stack([model.predict(grid[:, None])[:, 0] for model in models])
    mean, spread = predictions.mean(axis=0), predictions.std(axis=0)

    far = np.abs(grid)
    places = {
        "among the data": (far >= 0.5) & (far <= 2),
        "in the gap between them": far < 0.5,
        "beyond them": far > 2,
    }
    spreads = {}
    for where, here in places.items():
        spreads[where] = spread[here].mean()
        error = np.sqrt(np.mean((mean[here] - curve(grid[here])) ** 2))
        print(f"{where}: the nets spread by {spreads[where]:.3f}, the error is {error:.3f}")
    inside, gap, outside = spreads.values()
    print(
        f"\nThe {len(models)} nets saw the same data, with a noise of {NOISE}. Where there are "
        f"data they agree; in the gap they spread {gap / inside:.1f} times as far, beyond the "
        f"data {outside / inside:.1f} times: where the ensemble disagrees, it does not know."
    )
    if options.save:
        draw(grid, mean, spread, x, y, options.save)
        print(f"The curve is in {options.save}.")


if __name__ == "__main__":
    main()
