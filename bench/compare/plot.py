"""The results as bars, by gnuplot: each cost as a multiple of nginx-rtmp's, or of the floor's when nginx-rtmp did not run."""
import shutil
import subprocess

COLOURS = {"penstock": "#1f77b4", "floor": "#8c8c8c", "nginx-rtmp": "#d98c3f"}
MORE_COLOURS = ("#6aa84f", "#8e63b0", "#c0504d", "#4bacc6")
# Above this the other bars are too small to be read.
MULTIPLE_MAX = 4.0


def multiples(chosen, results, server_names):
    """(the server all are divided by, rows of scenario name and one multiple or None per server)."""
    def ran(name):
        return any(value is not None for scenario in chosen for value in results.values(scenario.name, name))

    base = next((name for name in ("nginx-rtmp", "floor") if ran(name)), None)
    rows = []
    for scenario in chosen:
        found = [results.ratio(scenario.name, name, base) if base else None for name in server_names]
        if sum(value is not None for value in found) > 1:
            rows.append((scenario.name, found))
    return base, rows


def height(rows):
    """Room above the highest bar for the key."""
    highest = max((value for _, values in rows for value in values if value is not None), default=1.0)
    return min(MULTIPLE_MAX, highest * 1.2)


def script(base, rows, server_names, terminal, path):
    spare = list(MORE_COLOURS)
    lines = [
        f"set terminal {terminal}", f"set output '{path}'", "set style data histograms", "set style histogram clustered gap 1",
        "set style fill solid 0.9 noborder", "set boxwidth 0.9", "set grid ytics lc rgb '#dddddd'", "set border 3",
        "set tics nomirror", "set xtics rotate by -35 noenhanced", f"set yrange [0:{height(rows):g}]", "set bmargin 8",
        f"set ylabel 'cost as a multiple of {base}, less is better'", "set key top right horizontal noenhanced",
        "$rows << END",
    ]
    for name, values in rows:
        # Just above the frame when it does not fit: it is then drawn to the frame, and the table says how much it is.
        cells = ["?" if value is None else f"{min(value, MULTIPLE_MAX * 1.01):.4f}" for value in values]
        lines.append(" ".join([name, *cells]))
    lines += ["END", "set datafile missing '?'", "plot " + ", ".join(
        f"$rows using {column}:xtic(1) title '{name}' lc rgb '{COLOURS.get(name) or (spare.pop(0) if spare else '#444444')}'"
        for column, name in enumerate(server_names, 2))]
    return "\n".join(lines) + "\n"


def draw(chosen, results, server_names, folder):
    """Writes plot.svg and plot.png; returns why it did not, or None."""
    base, rows = multiples(chosen, results, server_names)
    if not rows:
        return "nothing was measured on two servers"
    program = shutil.which("gnuplot")
    if not program:
        return "gnuplot is not installed: run tools/setup"
    width = max(640, 110 * len(rows) + 160)
    for terminal, name in ((f"svg size {width},520 font 'sans,12' background 'white'", "plot.svg"),
                           (f"pngcairo size {width},520 font 'sans,10'", "plot.png")):
        done = subprocess.run([program], input=script(base, rows, server_names, terminal, folder / name), text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            return f"gnuplot: {done.stderr.strip()[-300:]}"
    return None
