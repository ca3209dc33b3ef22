"""A model of characters: three letters of a first name, and what comes next (Bengio et al. 2003).

5,163 first names of the 1990 census of the United States (public domain; they come with hotgrad).
Run: python examples/char_mlp.py [--epochs 12] [--save letters.png] [--quick]
"""

import argparse

import numpy as np

import engine
import nn
from nn import plots

LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # a name begins and ends with the first
CONTEXT = 3


def pairs(names):
    """Every CONTEXT letters, (n, CONTEXT), and the one after them, (n,), as integers."""
    x, y = [], []
    for name in names:
        codes = [LETTERS.index(letter) for letter in "." * CONTEXT + name + "."]
        x += [codes[place : place + CONTEXT] for place in range(len(name) + 1)]
        y += codes[CONTEXT:]
    return np.array(x), np.array(y)


def bigram_loss(x, y, xv, yv):
    """The loss of counting, in (x, y), which letter follows the last one alone."""
    counts = np.ones((len(LETTERS), len(LETTERS)))
    np.add.at(counts, (x[:, -1], y), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return -np.mean(np.log(shares[xv[:, -1], yv]))


def invent(model, count):
    """Names, drawn letter by letter; all at once, each until its end."""
    context, names = np.zeros((count, CONTEXT), dtype=int), [""] * count
    for _ in range(15):
        chances = np.cumsum(model.predict(context, batch_size=count)[:, :-1], axis=1)
        drawn = (chances < engine.random.generator().random((count, 1))).sum(axis=1)
        names = [name + LETTERS[code] for name, code in zip(names, drawn)]
        context = np.concatenate([context[:, 1:], drawn[:, None]], axis=1)
    return [name.split(".")[0] for name in names]


def draw(places, file):
    """The letters where their embeddings lie, seen from where they are furthest apart."""
    middle = places - places.mean(axis=0)
    flat = middle @ np.linalg.svd(middle)[2][:2].T
    (ax,) = plots.grid(1, 1, 7, 6)
    for letter, (across, up) in zip(LETTERS, flat):
        frame = {"boxstyle": "circle", "facecolor": "none"} if letter in "aeiouy" else None
        ax.text(across, up, letter, fontsize=13, ha="center", va="center", bbox=frame)
    ax.scatter(*flat.T, alpha=0)  # for the limits, which texts do not set
    ax.set_title("letters by their embeddings, vowels in circles", fontsize=11)
    plots.save(ax, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, help="default: 12; with --quick 5")
    parser.add_argument("--save", metavar="FILE", help="save where the letters' embeddings lie")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args()
    epochs = options.epochs or (5 if options.quick else 12)

    engine.seed(0)
    names = engine.random.generator().permutation(nn.datasets.first_names())
    (x, y), (xv, yv) = pairs(names[500:]), pairs(names[:500])
    embedding = nn.Embedding(len(LETTERS), 8, embeddings_initializer="glorot_normal")
    hidden, last = nn.Dense(128, activation="tanh"), nn.Dense(len(LETTERS), activation="softmax")
    model = nn.Sequential([embedding, nn.Flatten(), hidden, last])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    loss = model.evaluate(xv, yv, batch_size=1024)

    invented = [name for name in invent(model, 200) if name not in names]
    print("Invented:", ", ".join(invented[:12]))
    places = embedding.embeddings.numpy()
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    vowel = np.array([letter in "aeiouy" for letter in LETTERS])
    among = apart[np.ix_(vowel, vowel)].sum() / (vowel.sum() * (vowel.sum() - 1))
    print(
        f"On the {len(yv):,} letters of 500 names not seen, the loss is {loss:.3f}: as unsure as "
        f"among {np.exp(loss):.1f} letters. Counting pairs gives {bigram_loss(x, y, xv, yv):.3f}, "
        f"to guess blindly log 27 = {np.log(27):.3f}.\n"
        f"Of 200 names that it drew {len(invented)} are not among those of the census.\n"
        f"Two vowels lie {among:.2f} apart, a vowel and a consonant "
        f"{apart[np.ix_(vowel, ~vowel)].mean():.2f}: nobody told it what a vowel is."
    )
    if options.save:
        draw(places, options.save)
        print(f"The letters are drawn in {options.save}.")


if __name__ == "__main__":
    main()
