"""Draws the pictures of the documentation: `python docs/make_pictures.py`.

The pictures of a page are made by the code on the page itself, which is run here; what no page
shows the code of is drawn by the functions below.
"""

import contextlib
import os
import re
import tempfile
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"
os.environ["SOURCE_DATE_EPOCH"] = "0"  # a picture that has not changed keeps its bytes
import matplotlib as mpl
import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parent
PICTURES = DOCS / "pictures"
PAGES = ["tour.md", "engine.md", "guides/training.md"]

STEP = 1.25  # from one layer to the next
LAYERS = [  # from the top: folder, what it does, what is in it
    ("nn/", "layers, losses, optimizers, training", "thin: no gradient formula, no kernel"),
    ("engine/ops/", "one row per operation", "a forward, and a gradient formula per argument"),
    ("engine/*.py", "Tensor, the tape, the walk back", "knows no operation by name"),
    ("engine/kernels/", "Numba: arrays in, arrays out", "knows no Tensor"),
]


def layout():
    """The layers of the sources, and which knows which."""
    figure, ax = plt.subplots(figsize=(7.2, 3.9))
    for row, (folder, purpose, limit) in enumerate(LAYERS):
        top = -row * STEP
        shade = 0.86 + 0.04 * row
        box = mpl.patches.FancyBboxPatch(
            (0, top - 0.9), 10, 0.9, boxstyle="round,pad=0.03", facecolor=str(shade)
        )
        ax.add_patch(box)
        middle = top - 0.45
        ax.text(0.3, middle, folder, family="monospace", weight="bold", va="center", size=11)
        ax.text(3.2, middle + 0.02, purpose, va="bottom", size=11)
        ax.text(3.2, middle - 0.04, limit, va="top", size=9.5, style="italic")
    arrow = {"arrowstyle": "->", "linewidth": 1.5}
    for row in (0, 1):  # to the next layer
        ax.annotate(
            "", (1.2, -(row + 1) * STEP + 0.03), (1.2, -row * STEP - 0.93), arrowprops=arrow
        )
    for row, x in ((0, 10.8), (1, 10.4)):  # around the tape to the kernels
        start, end = -row * STEP - 0.45, -3 * STEP - 0.45 + 0.2 * row
        ax.plot([10.05, x, x], [start, start, end], color="black", linewidth=1.5)
        ax.annotate("", (10.0, end), (x, end), arrowprops={**arrow, "shrinkA": 0})
    ax.set(xlim=(-0.1, 10.9), ylim=(-3 * STEP - 1, 0.1))
    ax.axis("off")
    figure.savefig(PICTURES / "layout.svg", bbox_inches="tight")


def run(page):
    """Run the code of a page, up to the error where it shows one, and keep its pictures."""
    scope = {"__name__": "__main__"}
    for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        try:
            exec(compile(code, str(page), "exec"), scope)
        except Exception:
            if "# raises" not in code:
                raise
    for picture in Path().glob("*.png"):
        picture.replace(PICTURES / picture.name)


def main():
    mpl.rcParams["svg.hashsalt"] = "hotgrad"
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        layout()
        for name in PAGES:
            run(DOCS / name)
    for path in sorted(PICTURES.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
