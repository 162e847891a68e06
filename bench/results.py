# SPDX-License-Identifier: GPL-2.0-or-later
"""What bench/collect wrote, by row, window and contender."""
import collections
import fnmatch
import statistics

REQUESTS = ("setups", "removes", "READ", "WRITE", "names", "requests")
REGIONS = ("regions-made", "regions-removed")
COUNTS = (*REQUESTS, *REGIONS, "cpu")
SUFFIX = {"K": 10, "M": 20, "G": 30}


def size(window):
    """Bytes of a window; none has 0."""
    if window == "-":
        return 0
    return int(window[:-1]) << SUFFIX[window[-1]] if window[-1] in SUFFIX else int(window)


class Results:
    """data: the bytes that rows with windows work on."""

    def __init__(self, path, data):
        self.data = data
        # (row, window, contender) -> unit -> values, one of each round
        self.cells = collections.defaultdict(lambda: collections.defaultdict(list))
        self.failed = collections.defaultdict(list)
        self.skipped = {}
        self.rounds = 0
        with open(path) as lines:
            for line in lines:
                self.add(*line.split(None, 5))

    def add(self, number, contender, window, row, value, rest=""):
        self.rounds = max(self.rounds, int(number))
        key = row, window, contender
        if value == "failed":
            self.failed[key].append(rest.strip())
        elif value == "skipped":
            self.skipped[key] = rest.strip()
        else:
            self.cells[key][rest.strip()].append(float(value))

    def unit(self, row):
        """The unit of a row's own value."""
        for (name, _, _), units in self.cells.items():
            for unit in units:
                if name == row and unit not in COUNTS:
                    return unit
        return None

    def rows(self, pattern="*"):
        """Names in the order in which they were run."""
        names = dict.fromkeys(row for row, _, _ in self.cells)
        return [row for row in names if self.unit(row) and fnmatch.fnmatch(row, pattern)]

    def windows(self, row, contender="ours"):
        found = {w for r, w, c in (*self.cells, *self.failed) if r == row and c == contender}
        return sorted(found, key=size)

    def values(self, row, window, contender, unit=None):
        return self.cells.get((row, window, contender), {}).get(unit or self.unit(row), [])

    def at(self, row, window, contender):
        """The window under which a contender's value stands beside ours at window."""
        if self.values(row, window, contender):
            return window
        if contender.endswith("-limited") or not self.values(row, "-", contender):
            return None
        return "-"

    def median(self, row, window, contender, unit=None):
        """None if there is no value."""
        window = self.at(row, window, contender)
        values = self.values(row, window, contender, unit) if window else []
        return statistics.median(values) if values else None

    def spread(self, row, window, contender):
        """Half of the distance from the least to the greatest, by the median."""
        values = self.values(row, self.at(row, window, contender), contender)
        middle = statistics.median(values)
        return (max(values) - min(values)) / 2 / middle if middle else 0.0

    def limited(self, row, window, contender):
        """The name of the contender with as much page cache as the window.

        Where the window holds all twice, it is the one without a limit."""
        return contender + "-limited" if size(window) < 2 * self.data else contender

    def ratio(self, row, window, ours, other, other_row=None, other_window=None):
        """How many times ours is better than the other; None if that is not a number."""
        a = self.median(row, window, ours)
        b = self.median(other_row or row, other_window or window, other)
        if a is None or b is None:
            return None
        if not self.unit(row).endswith("/s"):
            a, b = b, a
        return a / b if b else None
