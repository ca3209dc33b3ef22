"""Where the boxes of a graph go: rows by depth, and in each row an order with few crossings.

The layered drawing of Sugiyama, Tagawa and Toda (1981), in its simplest form: an edge that passes
a row has a place in it, and each row is ordered, several times over, by where its neighbours are.
"""

import numpy as np

SWEEPS = 12


def place(parents):
    """(places, routes) for a graph in which every node comes after its parents.

    parents  for each node the list of the nodes that it was computed from

    places is an array (n, 2) of (across, down): down is the row, across is at least 1 apart within
    a row, around 0. routes is a list of (child, parent, bends), bends an array (rows passed, 2) of
    places that the edge goes through from the parent down to the child.
    """
    rows = _rows(parents)
    edges, chains = [], []  # an edge that passes rows is a chain of nodes of its own
    for child, above in enumerate(parents):
        for parent in dict.fromkeys(above):
            chain = [parent]
            for row in range(rows[parent] + 1, rows[child]):
                chain.append(len(rows))
                rows.append(row)
            chains.append((child, parent, chain[1:]))
            edges += zip(chain, [*chain[1:], child])
    across = _order(rows, edges)
    places = np.stack([across, np.array(rows, dtype=float)], axis=1)
    routes = [(child, parent, places[bends].reshape(-1, 2)) for child, parent, bends in chains]
    return places[: len(parents)], routes


def _rows(parents):
    """One row below the lowest parent; what has no parent just above its first use."""
    rows = []
    for above in parents:
        rows.append(1 + max((rows[parent] for parent in above), default=-1))
    for node, above in enumerate(parents):
        users = [rows[child] for child, given in enumerate(parents) if node in given]
        if not above and users:
            rows[node] = min(users) - 1
    return rows


def _order(rows, edges):
    """The place across of each node."""
    neighbours = [[] for _ in rows]
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    members = [
        [node for node, row in enumerate(rows) if row == wanted] for wanted in range(max(rows) + 1)
    ]
    across = np.zeros(len(rows))
    for row in members:
        across[row] = np.arange(len(row)) - (len(row) - 1) / 2
    for sweep in range(2 * SWEEPS):
        for row in members[:: 1 if sweep % 2 == 0 else -1]:
            wanted = np.array([np.mean(across[neighbours[node] or [node]]) for node in row])
            order = np.argsort(wanted, kind="stable")
            across[np.array(row)[order]] = _apart(wanted[order])
    return across - (across.min() + across.max()) / 2


def _apart(wanted):
    """Sorted places, moved to be at least 1 apart, around the same middle."""
    moved = wanted - np.arange(len(wanted))
    moved = np.maximum.accumulate(moved) + np.arange(len(wanted))
    return moved - np.mean(moved - wanted)
