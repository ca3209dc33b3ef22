"""The table of the README, made from what was measured."""

from collections import defaultdict
from pathlib import Path

from .machine import PACKAGES
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
    versions = [f"{name} {machine[name]}" for name in PACKAGES if name in machine]
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
