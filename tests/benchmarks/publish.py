"""The table of the README and the chart, made from what was measured."""

from collections import defaultdict
from pathlib import Path

from .report import shown, summary

BEGIN, END = "<!-- performance -->", "<!-- /performance -->"
STEPS = "training step"  # the groups that are told case by case


def rewrite(path, machine, rows):
    """Put the table between the two marks in a Markdown file. ValueError without them."""
    text = Path(path).read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{path}: expected one {BEGIN} and one {END}")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    table = markdown(machine, rows)
    Path(path).write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")


def grouped(rows):
    """The rows by group, in the order of the groups."""
    groups = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return groups


def markdown(machine, rows):
    """The tables: training steps one by one, of the other groups the mean and the worst."""
    lines = [f"Measured on {_machine(machine)}.", ""]
    groups = grouped(rows)
    for name, members in groups.items():
        if name.startswith(STEPS):
            lines += [*_cases(name, members), ""]
    means = [_mean(name, members) for name, members in groups.items()]
    if any(means):
        lines += ["| what | cases | ratio: mean | worst | best of peak |", "|---|---|---|---|---|"]
        lines += [line for line in means if line]
    alone = [row for row in rows if not row.peers]
    if alone:
        lines += ["", "| what | figure |", "|---|---|"]
        lines += [f"| {row.group}: {row.case} | {shown(row.ours, row.unit)} |" for row in alone]
    return "\n".join(lines).rstrip()


def _machine(machine):
    versions = [
        f"{name} {machine[name]}"
        for name in ("numpy", "numba", "torch", "jax", "keras", "tensorflow", "tensorflow-cpu")
        if name in machine
    ]
    return (
        f"{machine['cpu']} ({machine['target']}), {machine['cores']} cores, Python "
        f"{machine['python']}; {', '.join(versions)}; NumPy's BLAS: {machine['blas']}. A ratio is "
        "our time over that of the fastest peer, of each the best of alternating rounds"
    )


def _cases(name, rows):
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    yield f"| {name} | hotgrad | {' | '.join(peers)} | ratio |"
    yield "|---" * (len(peers) + 3) + "|"
    for row in rows:
        times = [shown(row.peers[p], row.unit) if p in row.peers else "" for p in peers]
        cells = [row.case, shown(row.ours, row.unit), *times, f"{row.ratio:.2f}"]
        yield f"| {' | '.join(cells)} |"


def _mean(name, rows):
    compared = [row for row in rows if row.ratio > 0]
    if not compared:
        return None
    mean, worst = summary(compared)
    parts = [row.work / row.ours / row.limit for row in rows if row.work and row.limit]
    best = f"{max(parts):.0%}" if parts else ""
    return f"| {name} | {len(compared)} | {mean:.2f} | {worst.ratio:.2f} ({worst.case}) | {best} |"


def chart(path, machine, rows):
    """Draw the training steps: bars of each library's time over ours. Needs matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--chart needs matplotlib: pip install matplotlib") from None
    rows = [row for row in rows if row.group.startswith(STEPS) and row.peers]
    if not rows:
        raise ValueError("--chart draws the part `step`, which was not measured")
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    figure = Figure(figsize=(10, 0.9 + 0.28 * len(rows) * (len(peers) + 1) / 4))
    axes = figure.subplots()
    height = 0.8 / (len(peers) + 1)
    for place, peer in enumerate(["hotgrad", *peers]):
        lengths = [
            1 if peer == "hotgrad" else row.peers.get(peer, float("nan")) / row.ours for row in rows
        ]
        positions = [i + place * height for i in range(len(rows))]
        axes.barh(positions, lengths, height, label=peer)
    axes.set_yticks([i + 0.4 for i in range(len(rows))], [row.case for row in rows])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("time of a training step, hotgrad = 1 (shorter is faster)")
    axes.set_title(f"{machine['cpu']}, {machine['cores']} cores", fontsize=10)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120, bbox_inches="tight")
