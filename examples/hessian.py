"""Newton's method by second derivatives: down Rosenbrock's valley in a handful of steps.

f(a, b) = (1 - a)^2 + 100 (b - a^2)^2, from (-1.2, 1), with the least at (1, 1).
Run: python examples/hessian.py [--save paths.png] [--quick]
"""

import argparse

import numpy as np

import engine
from engine import Tensor

START, GOAL = np.array([-1.2, 1.0]), np.array([1.0, 1.0])
RATE = 0.002  # of gradient descent; 0.003 already diverges


def rosenbrock(p):
    a, b = p[0], p[1]
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2


def newton(steps=20):
    """Each step goes to where the parabola through value, slope and curvature has its least."""
    path = [START]
    while len(path) <= steps and np.linalg.norm(path[-1] - GOAL) > 1e-8:
        point = Tensor(path[-1])
        gradient = engine.value_and_grad(rosenbrock)(point)[1].numpy()
        path.append(path[-1] - np.linalg.solve(engine.hessian(rosenbrock, point).numpy(), gradient))
    return np.array(path)


def descent(steps):
    path, point = [START], Tensor(START, requires_grad=True)
    for _ in range(steps):
        point.data -= RATE * engine.grad(rosenbrock(point), point).data
        path.append(point.data.copy())
    return np.array(path)


def draw(quick_path, slow_path, file):
    from nn import plots

    axes = plots.grid(1, 1, 7, 5)
    a, b = np.meshgrid(np.linspace(-1.6, 1.6, 200), np.linspace(-3.5, 1.8, 200))
    heights = np.log10(rosenbrock([a, b]) + 1e-3)
    axes[0].contour(a, b, heights, levels=14, colors="0.7", linewidths=0.8)
    axes[0].plot(*slow_path.T, "k--", label=f"gradient descent, {len(slow_path) - 1:,} steps")
    axes[0].plot(*quick_path.T, "o-", color="C0", label=f"Newton, {len(quick_path) - 1} steps")
    axes[0].plot(*GOAL, "k*", markersize=16, label="the least")
    for number, point in enumerate(quick_path[:4]):
        axes[0].annotate(f"{number}", point, xytext=(7, 4), textcoords="offset points")
    axes[0].legend(loc="lower left")
    axes[0].set_xlabel("a")
    axes[0].set_ylabel("b")
    plots.save(axes, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--save", metavar="FILE", help="save both paths as a picture")
    parser.add_argument("--quick", action="store_true", help="fewer steps of gradient descent")
    options = parser.parse_args()

    path = newton()
    for number, point in enumerate(path):
        print(f"step {number}: f({point[0]:.10f}, {point[1]:.10f}) = {rosenbrock(point):.3e}")
    slow = descent(2000 if options.quick else 20_000)
    curvatures = np.linalg.eigvalsh(engine.hessian(rosenbrock, Tensor(GOAL)).numpy())
    product = engine.hvp(rosenbrock, GOAL, np.array([1.0, 2.0])).numpy()
    print(
        f"\nNewton's method is within {np.linalg.norm(path[-1] - GOAL):.0e} of (1, 1) after "
        f"{len(path) - 1} steps; gradient descent is {np.linalg.norm(slow[-1] - GOAL):.0e} away "
        f"after {len(slow) - 1:,}.\n"
        f"At the least the curvatures are {curvatures[0]:.2f} and {curvatures[1]:.2f}, "
        f"{curvatures[1] / curvatures[0]:.0f} to 1: a step small enough for the one is far too "
        "small for the other. The Hessian has both, from one gradient differentiated again; "
        f"where it is too large to make, hvp gives it times a vector: {product}."
    )
    if options.save:
        draw(path, slow, options.save)
        print(f"Both paths are in {options.save}.")


if __name__ == "__main__":
    main()
