# SPDX-License-Identifier: GPL-2.0-or-later
"""Bar charts by gnuplot: how many times ours is faster, by workload and window."""
import math
import subprocess

SCRIPT = """
set terminal svg size {width},420 dynamic font "sans,12" background "white"
set output "{name}.svg"
set title "{title}"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9
set boxwidth 0.9
set ylabel "times faster"
set ytics ({ytics})
set grid ytics
set rmargin 16
set key outside top center horizontal
set xtics rotate by -35 nomirror font ",10"
set datafile missing "?"
$data << END
{data}
END
plot {series}, 0 with lines linecolor "black" notitle
"""


def series_of(results, row, windows):
    """(label, ratios by contender) for each window of a row."""
    for window in windows:
        limited = results.limited(row, window, "nodax")
        yield f"{row} {window}", {
            "in-tree DAX": results.ratio(row, window, "ours", "intree"),
            "no DAX, as much memory": results.ratio(row, window, "ours", limited),
            "no DAX": results.ratio(row, window, "ours", "nodax"),
        }


def ytics():
    """Labels of the powers of two: the bars begin at 1, so the axis is the logarithm."""
    return ", ".join(f'"{2**i}" {i}' if i >= 0 else f'"1/{2**-i}" {i}' for i in range(-16, 17, 2))


def plot(results, out, name, title, pattern):
    """Write out/name.svg; returns whether there was anything to show."""
    lines, keys = [], []
    for row in results.rows(pattern):
        for label, ratios in series_of(results, row, results.windows(row)):
            if not any(ratios.values()):
                continue
            keys = list(ratios)
            numbers = (f"{math.log2(r):.3f}" if r else "?" for r in ratios.values())
            lines.append(f'"{label}" ' + " ".join(numbers))
    if not lines:
        return False
    series = ", ".join(f'$data using {i + 2}:xtic(1) title "ours / {key}"'
                       for i, key in enumerate(keys))
    script = SCRIPT.format(name=name, title=title, data="\n".join(lines), series=series,
                           ytics=ytics(), width=max(640, 60 * len(lines) + 200))
    subprocess.run(["gnuplot"], input=script, text=True, cwd=out, check=True)
    return True
