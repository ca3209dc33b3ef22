"""`hotgrad summary` and `hotgrad activations`: what is in a file, and how activations look."""

from .. import plots
from .predict import load


def add_to(commands, formatted):
    """Add both commands to a parser's subparsers; `formatted` gives a parser its examples."""
    parser = formatted(
        commands,
        "summary",
        "print the layers of a saved model",
        """
        hotgrad summary model.safetensors
        """,
    )
    parser.add_argument("model", metavar="FILE", help="a file that `hotgrad train` has saved")
    parser.set_defaults(run=summary)
    parser = formatted(
        commands,
        "activations",
        "draw activation functions and their slopes on one sheet",
        """
        hotgrad activations --save sheet.png
        hotgrad activations relu sigmoid tanh softmax --save four.svg
        """,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="default: all there are")
    parser.add_argument("--save", metavar="FILE", required=True, help="a .png, .svg or .pdf file")
    parser.set_defaults(run=activations)


def summary(options, say):
    """Print the table of layers, and what the data were. Returns the exit code 0."""
    model = load(options.model)
    model.summary()
    about = model.notes or {}
    if about.get("kind") == "table":
        columns = [entry["column"] for entry in about["encoding"]]
        print(f"features: {', '.join(columns)}")
        print(f"label: {about['label']}")
    if about.get("classes"):
        print(f"classes: {', '.join(about['classes'])}")
    return 0


def activations(options, say):
    """Draw the sheet into the file. Returns the exit code 0."""
    plots.save(plots.plot_activations(options.names or "all"), options.save)
    print(f"Drawn in {options.save}")
    return 0
