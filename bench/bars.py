# SPDX-License-Identifier: GPL-2.0-or-later
"""The bars that the driver has to clear: each computed from the results.

A bar is a function that yields checks. A check whose values are not there has
no measured number, and is neither met nor missed.
"""
import collections

from results import size

Check = collections.namedtuple("Check", "what where measured wanted least")
# measured: a number or None; wanted: the limit; least: whether it is a lower one


def met(check):
    if check.measured is None:
        return None
    return check.measured >= check.wanted if check.least else check.measured <= check.wanted


class Bars:
    """The bars for one set of results, which has so many small files."""

    def __init__(self, results, files):
        self.results, self.data, self.files = results, results.data, files

    # Helpers

    def pairs(self, *patterns, windows=lambda window: True):
        """(row, window) of our values."""
        for pattern in patterns:
            for row in self.results.rows(pattern):
                for window in self.results.windows(row):
                    if windows(size(window)):
                        yield row, window

    def at_least(self, wanted, what, row, window, other, **kwargs):
        measured = self.results.ratio(row, window, "ours", other, **kwargs)
        return Check(what, f"{row}, {window}", measured, wanted, True)

    def room(self, window):
        return "window " + (">= data" if size(window) >= self.data else "< data")

    def fewer(self, factor, what, row, window, unit):
        """Our requests, as a part of the in-tree driver's."""
        ours = self.results.median(row, window, "ours", unit)
        intree = self.results.median(row, window, "intree", unit)
        measured = None if ours is None or not intree else ours / intree
        return Check(what, f"{row}, {window}", measured, 1 / factor, False)

    def at_most(self, wanted, what, row, unit=None):
        """Our value, or a count of requests, at the largest window."""
        windows = self.results.windows(row)
        measured = self.results.median(row, windows[-1], "ours", unit) if windows else None
        return Check(what, row, measured, wanted, False)

    # The bars

    def bar_1(self):
        """Sequential cold read, window >= file"""
        large = {"windows": lambda window: window >= self.data}
        for row, window in self.pairs("seq-*-cold", **large):
            yield self.fewer(64, "setups / in-tree's", row, window, "setups")
        for row, window in self.pairs("seq-read-*-cold", **large):
            yield self.at_least(1.3, "speed / in-tree's", row, window, "intree")
            warm = row.replace("-cold", "-warm")
            yield self.at_least(0.85, "speed / our warm", row, window, "ours", other_row=warm)
        for row, window in self.pairs("seq-mmap-cold", **large):
            yield self.at_least(1.5, "speed / in-tree's, mmap", row, window, "intree")

    def bar_2(self):
        """Sequential, window = 1/16 of the file"""
        for row, window in self.pairs("seq-*", windows=lambda w: w * 16 == self.data):
            yield self.fewer(16, "requests / in-tree's", row, window, "requests")
            yield self.at_least(1.15, "speed / in-tree's", row, window, "intree")

    def bar_3(self):
        """Random 4 KiB at every window size"""
        for row, window in self.pairs("rand-*"):
            nodax = self.results.limited(row, window, "nodax")
            yield self.at_least(1.0, "speed / no DAX in as much memory", row, window, nodax)
            if size(window) < self.data:
                yield self.at_least(2.0, "speed / in-tree's", row, window, "intree")
        doubles = {size(w): w for r in self.results.rows("rand-*") for w in self.results.windows(r)}
        double = doubles.get(2 * self.data, "-")
        for row, window in self.pairs("rand-*", windows=lambda w: w == self.data):
            yield self.at_least(0.9, "speed / with a window of twice the data", row, window,
                                "ours", other_window=double)

    def bar_4(self):
        """Small files and executables"""
        for row, window in self.pairs("small-*"):
            yield self.at_least(1.0, "speed / no DAX", row, window, "nodax")
            yield self.at_least(1.5, "speed / in-tree's", row, window, "intree")
            yield self.data_requests(row, window)
        for row, window in self.pairs("start-*"):
            yield self.at_least(1.0, "executables: speed / no DAX", row, window, "nodax")

    def data_requests(self, row, window):
        counts = [self.results.median(row, window, "ours", unit)
                  for unit in ("setups", "READ", "WRITE")]
        # The archive of untar is a file too
        files = self.files + (row == "small-untar")
        measured = None if None in counts else sum(counts) / files
        return Check("data requests per file", f"{row}, {window}", measured, 1.0, False)

    def bar_5(self):
        """Appends, writes in place, stores that are synced"""
        for row, window in self.pairs("append-*"):
            yield self.at_least(1.0, "appends: speed / no DAX", row, window, "nodax")
        for row, window in self.pairs("sync-*"):
            yield self.at_least(1.0, "synced stores: speed / no DAX", row, window, "nodax")
        for row, window in self.pairs("rand-write-psync-*"):
            yield self.at_least(5.0, "in place, " + self.room(window), row, window, "nodax")

    def bar_6(self):
        """Warm read and mmap, two threads"""
        for row, window in self.pairs("seq-*-warm", "two-*"):
            yield self.at_least(1.0, "speed / in-tree's", row, window, "intree")
        for row, window in self.pairs("seq-*-warm"):
            yield self.at_least(1.0, "speed / guest tmpfs, " + self.room(window), row, window, "tmpfs")
        for row, window in self.pairs("two-*-file*"):
            yield self.at_least(1.8, "two threads / one", row, window, "ours",
                                other_row="two-one-thread")

    def bar_7(self):
        """Time to first byte of a 4 GiB file, faults per GiB"""
        trip = self.at_most(0, "", "map-round-trip").measured or 0
        yield self.at_most(2000 + trip, "us to the first byte", "map-first-byte")
        yield self.at_most(512 * 1.01, "faults per GiB", "map-faults")

    def bar_8(self):
        """40 files of 300 MiB in a window of 16 GiB with 128 mappings"""
        for row, window in self.pairs("many-40-files"):
            yield self.at_least(0.9, "speed / one file's", row, window, "ours",
                                other_row="many-1-file")

    def bar_9(self):
        """The window as one map of QEMU"""
        for row, window in self.pairs("*"):
            if self.results.values(row, window, "stock"):
                yield self.at_least(0.97, "speed / with stock maps", row, window, "stock")
            for contender in ("ours", "intree"):
                if self.results.values(row, window, contender):
                    yield self.regions("regions made", contender, row, window,
                                       "regions-made", 1)
                    yield self.regions("regions removed", contender, row, window,
                                       "regions-removed", 0)

    def regions(self, what, contender, row, window, unit, wanted):
        measured = self.results.median(row, window, contender, unit)
        return Check(what, f"{contender}, {row}, {window}", measured, wanted, False)

    def bar_10(self):
        """Walks over a tree, where the guest keeps what nobody corrects"""
        for row, window in self.pairs("walk-*"):
            again = row.endswith("-again")
            if again:
                names = self.results.median(row, window, "coherent", "names")
                yield Check("requests for names, again", f"{row}, {window}", names, 0, False)
            for other in ("ours", "virtiofsd"):
                measured = self.results.ratio(row, window, "coherent", other)
                yield Check(f"{'again' if again else 'first'}: speed / {other}",
                            f"{row}, {window}", measured, 5.0 if again else 1.0, True)

    def bar_11(self):
        """An edit on the host, until a guest that cannot ask has seen it"""
        for row in self.results.rows("seen-*"):
            late = row.endswith("-p99")
            window = self.results.windows(row, "coherent")[0]
            yield Check("us, 99 of 100" if late else "us, median", row,
                        self.results.median(row, window, "coherent"),
                        50000 if late else 2000, False)

    def all(self):
        """(number, title, checks) of each bar."""
        for number in range(1, 12):
            bar = getattr(self, f"bar_{number}")
            yield number, bar.__doc__, list(bar())
