"""What each activation does: its range, its slope, and where it stops learning.

Run: python examples/activations.py [NAME ...] [--save sheet.png] [--quick]
"""

import argparse

import numpy as np

import nn
from nn import plots

LAYERS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that nn knows")
    parser.add_argument("--save", metavar="FILE", help="save the sheet of all curves, as sheet.png")
    parser.add_argument("--quick", action="store_true", help="five activations only")
    options = parser.parse_args()
    names = options.names or list(nn.activations.ACTIVATIONS)
    if options.quick and not options.names:
        names = ["linear", "relu", "sigmoid", "softmax", "tanh"]

    print(
        f"{'activation':<14}{'greatest slope':>15}{'slope at -3':>13}   range, and where it rests"
    )
    found = []
    for function in dict.fromkeys(map(nn.activations.get, names)):
        if not plots.is_elementwise(function):
            print(f"{nn.activations.name_of(function):<14}{'of whole rows':>15}")
            continue
        one = plots.measure_activation(function)
        found.append(one)
        at_minus_3 = np.interp(-3, one.points, one.slopes)
        print(
            f"{one.name:<14}{one.slopes.max():>15.3g}{at_minus_3:>13.3g}   {one.in_words()}",
        )

    print("\nA gradient on its way back is multiplied by one slope in every layer it passes.")
    for one in found:
        if one.name in ("sigmoid", "tanh", "relu"):
            left = one.slopes.max() ** LAYERS
            print(f"Through {LAYERS} layers of {one.name} at most {left:.2g} of it is left.")
    dead = [one.name for one in found if one.dead]
    resting = [one.name for one in found if one.saturated]
    if dead:
        print(f"Dead somewhere, where the slope is exactly 0: {', '.join(dead)}.")
    if resting:
        print(f"Saturated, where it is under 0.05: {', '.join(resting)}.")
    print(
        "Last in a net goes sigmoid for a yes or no, softmax for one of several classes, and "
        "linear, which is none, for a number."
    )
    if options.save:
        plots.save(plots.plot_activations(names), options.save)
        print(f"The curves are in {options.save}.")


if __name__ == "__main__":
    main()
