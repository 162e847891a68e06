# SPDX-License-Identifier: GPL-2.0-or-later
"""Bar charts by gnuplot, by workload and window, with a logarithmic axis."""
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
set ylabel "{ylabel}"
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


def draw(out, name, bars, **text):
    """bars: (label, powers by title), a power is None if there is no bar."""
    bars = [bar for bar in bars if any(power is not None for power in bar[1].values())]
    if not bars:
        return False
    titles = [t for t in bars[0][1] if any(powers[t] is not None for _, powers in bars)]
    data = "\n".join(f'"{label}" ' + " ".join("?" if powers[t] is None else f"{powers[t]:.3f}"
                                              for t in titles) for label, powers in bars)
    series = ", ".join(f'$data using {i + 2}:xtic(1) title "{t}"' for i, t in enumerate(titles))
    script = SCRIPT.format(name=name, data=data, series=series,
                           width=max(640, 60 * len(bars) + 200), **text)
    subprocess.run(["gnuplot"], input=script, text=True, cwd=out, check=True)
    return True


def cells(results, patterns):
    """(row, window, label) of ours."""
    for row in (row for pattern in patterns.split() for row in results.rows(pattern)):
        for window in results.windows(row):
            yield row, window, f"{row} {window}"


def speed_ticks(bars):
    """Labels of powers of two: of some, or of quarters if no bar is longer than two."""
    lengths = [abs(power) for _, powers in bars for power in powers.values() if power]
    if max(lengths, default=0) <= 2:
        return ", ".join(f'"{2**(i / 4):.2f}" {i / 4}' for i in range(-8, 9))
    return ", ".join(f'"{2**i}" {i}' if i >= 0 else f'"1/{2**-i}" {i}' for i in range(-16, 17, 2))


def speed(results, out, name, title, patterns):
    """Write out/name.svg: how many times ours is faster. Whether there was anything."""
    bars = []
    for row, window, label in cells(results, patterns):
        others = {"ours / in-tree DAX": "intree",
                  "ours / no DAX, as much memory": results.limited(row, window, "nodax"),
                  "ours / no DAX": "nodax"}
        ratios = {key: results.ratio(row, window, "ours", other) for key, other in others.items()}
        bars.append((label, {key: math.log2(r) if r else None for key, r in ratios.items()}))
    return draw(out, name, bars, title=title, ylabel="times faster", ytics=speed_ticks(bars))


def requests(results, out, name, title, patterns):
    """Write out/name.svg: what the server was asked. No bar: one request or none."""
    bars = []
    for row, window, label in cells(results, patterns):
        names = {"ours": "ours", "in-tree DAX": "intree", "no DAX": "nodax"}
        counts = {key: results.median(row, window, other, "requests")
                  for key, other in names.items()}
        bars.append((label, {key: None if n is None else math.log10(max(n, 1))
                             for key, n in counts.items()}))
    ticks = ", ".join(f'"{10**i}" {i}' for i in range(8))
    return draw(out, name, bars, title=title, ylabel="requests", ytics=ticks)
