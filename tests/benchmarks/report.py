"""Rows of the tables: what was measured, how it is printed, kept as JSON, and summed up."""

import json
import math
import sys
from dataclasses import asdict, dataclass, field


@dataclass
class Row:
    """One case: what ours took beside what each peer took.

    group  what the case belongs to, as "matmul float32, 2 threads": means are taken over a group
    case   the case within the group
    ours   seconds, or what `unit` says; the smaller, the better
    peers  {name: the same of that peer}; empty where there is nothing to compare with
    work   what was done, in 1e9 operations or bytes, 0 where that says nothing
    rate   the unit of work by time: "GFLOP/s" or "GB/s"
    limit  the most of that that the machine was measured to do, 0 if that was not measured
    unit   of ours and the peers
    """

    group: str
    case: str
    ours: float
    peers: dict = field(default_factory=dict)
    work: float = 0.0
    rate: str = ""
    limit: float = 0.0
    unit: str = "s"

    @property
    def fastest(self):
        """The name of the best peer, "" without peers."""
        return min(self.peers, key=self.peers.get, default="")

    @property
    def ratio(self):
        """Ours over the best peer's; nan without peers."""
        best = self.peers[self.fastest] if self.peers else math.nan
        return self.ours / best if best else math.nan


SCALES = (("s", 1.0), ("ms", 1e3), ("us", 1e6))


def shown(value, unit):
    """A value with its unit; times in the unit that leaves a few digits before the point."""
    if unit != "s":
        return f"{value:.4g} {unit}".rstrip()
    name, scale = next((pair for pair in SCALES if value * pair[1] >= 1), SCALES[-1])
    return f"{value * scale:.4g} {name}"


class Table:
    """Prints rows as they come, in groups, and keeps them."""

    def __init__(self):
        self.rows = []
        self._group = None

    def add(self, row):
        if row.group != self._group:
            self._close()
            self._group = row.group
            print(f"\n{row.group}")
            print(f"  {'':34}{'ours':>11}{'best peer':>11}  {'':18}{'ratio':>6}")
        self.rows.append(row)
        best = shown(row.peers[row.fastest], row.unit) if row.peers else "-"
        ratio = f"{row.ratio:.2f}" if row.peers else "-"
        line = f"  {row.case:34}{shown(row.ours, row.unit):>11}{best:>11}  "
        line += f"{row.fastest:18}{ratio:>6}"
        if row.work:
            speed = row.work / row.ours
            line += f"{speed:8.1f} {row.rate}"
            line += f" {speed / row.limit:5.0%} of {row.limit:.0f}" if row.limit else ""
        print(line, flush=True)

    def _close(self):
        rows = [row for row in self.rows if row.group == self._group and row.ratio > 0]
        if rows:
            mean, worst = summary(rows)
            print(
                f"  geometric mean of {len(rows)} ratios {mean:.2f}, "
                f"worst {worst.ratio:.2f} ({worst.case})"
            )

    def finish(self):
        self._close()
        self._group = None


def summary(rows):
    """The geometric mean of the ratios, all above 0, and the row with the worst."""
    mean = math.exp(sum(math.log(row.ratio) for row in rows) / len(rows))
    return mean, max(rows, key=lambda row: row.ratio)


def save(path, machine, rows):
    """Write what was measured, and on what, as JSON."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine, "rows": [asdict(row) for row in rows]}, file, indent=1)
        file.write("\n")


def load(path):
    """The machine and the rows of a file that `save` wrote."""
    with open(path, encoding="utf-8") as file:
        kept = json.load(file)
    return kept["machine"], [Row(**row) for row in kept["rows"]]


def say(*words):
    """Say what is no row, such as a peer that is left out, on the error stream."""
    print(*words, file=sys.stderr, flush=True)
