"""From single values to medians, ratios and bars, and those as markdown."""
import statistics

import scenarios

UNKNOWN = "?"
VERDICTS = {"misses": "**misses**"}


def median(values):
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def paired_ratio(values, others):
    """Median of the ratios round by round: what drifts from round to round hits both of a pair."""
    ratios = [value / other for value, other in zip(values, others)
              if value is not None and other is not None and other > 0]
    return statistics.median(ratios) if ratios else None


def sums(values, others):
    """Round by round; None where one side is missing."""
    return [None if value is None or other is None else value + other for value, other in zip(values, others)]


class Results:
    """Values by scenario, server and round. A run that failed has the value None."""

    def __init__(self):
        self.runs = {}

    def add(self, scenario_name, server_name, run):
        self.runs.setdefault(scenario_name, {}).setdefault(server_name, []).append(run)

    def servers(self, scenario_name):
        return list(self.runs.get(scenario_name, {}))

    def of(self, scenario_name, server_name):
        return self.runs.get(scenario_name, {}).get(server_name, [])

    def cipher_costs(self, scenario_name):
        """Of each of Penstock's rounds."""
        return [run.get("cipher_cpu_s_per_gb") for run in self.of(scenario_name, "penstock")]

    def values(self, scenario_name, server_name):
        return [run["value"] for run in self.of(scenario_name, server_name)]

    def ratio(self, scenario_name, server_name, other):
        return paired_ratio(self.values(scenario_name, server_name), self.values(scenario_name, other))

    def notes(self, scenario_name, server_name):
        """Each note once, in order; with how many rounds had it when not all did."""
        rounds = self.of(scenario_name, server_name)
        counts = {}
        for run in rounds:
            for note in dict.fromkeys(run["notes"]):
                counts[note] = counts.get(note, 0) + 1
        return [note if count == len(rounds) else f"{note} ({count} of {len(rounds)} rounds)"
                for note, count in counts.items()]


def measured_for(bar, scenario, results):
    """What Penstock has to show for a bar: a ratio, a value, or None when one side of it was not measured."""
    own = results.values(scenario.name, "penstock")
    if bar.against == "value":
        return median(own)
    kind, found, name = bar.against.partition(":")
    if not found:
        return results.ratio(scenario.name, "penstock", bar.against)
    plain = results.values(name, "penstock")
    if kind == "predicted":
        return paired_ratio(own, sums(plain, results.cipher_costs(scenario.name)))
    if kind == "more":
        return median(sums(own, [None if value is None else -value for value in plain]))
    ratio = paired_ratio(own, plain)
    if kind == "capacity" and ratio:
        return 2 / ratio
    return ratio


def judge(bar, value):
    """"holds", "misses", "?", or nothing where there is no bar; and whether the aim is reached, None when there is none."""
    if value is None:
        return UNKNOWN, None
    aim = None if bar.aim is None else reached(bar, bar.aim, value)
    if bar.limit is None:
        return "", aim
    return "holds" if reached(bar, bar.limit, value) else "misses", aim


def reached(bar, mark, value):
    return value >= mark if bar.at_least else value <= mark


def judge_gaps(scenario, results):
    """A relay that leaves out frames is cheap: where gaps are looked for there may be none, and no player that gets nothing,
    for it sees no gap. What was not counted (None) is not proven."""
    reports = [report for run in results.of(scenario.name, "penstock") if run["value"] is not None
               for report in run["reports"]]
    if not reports:
        return UNKNOWN, 0
    counts = [report.get("gaps") for report in reports]
    holds = all(count == 0 for count in counts) and not any(report.get("players_stalled") for report in reports)
    known = [count for count in counts if count is not None]
    return "holds" if holds else "misses", sum(known) if known else None


def bar_rows(chosen, results):
    """One dict per bar, for the table and for JSON."""
    rows = []
    for scenario in chosen:
        if "penstock" not in results.servers(scenario.name):
            continue
        value = median(results.values(scenario.name, "penstock"))
        for bar in scenario.bars:
            measured = measured_for(bar, scenario, results)
            verdict, aim = judge(bar, measured)
            rows.append({"scenario": scenario.name, "title": scenario.title, "value": value,
                         "unit": scenarios.UNITS[scenario.metric], "against": bar.against, "measured": measured,
                         "limit": bar.limit, "at_least": bar.at_least, "cipher": scenario.cipher,
                         "aim": bar.aim, "verdict": verdict, "aim_reached": aim})
        if scenario.no_gap:
            verdict, gaps = judge_gaps(scenario, results)
            rows.append({"scenario": scenario.name, "title": scenario.title, "value": value,
                         "unit": scenarios.UNITS[scenario.metric], "against": "gaps", "measured": gaps, "limit": 0,
                         "at_least": False, "cipher": scenario.cipher, "aim": None, "verdict": verdict, "aim_reached": None})
    return rows


def value_rows(chosen, results, server_names):
    """One dict per scenario and server."""
    rows = []
    for scenario in chosen:
        for name in server_names:
            runs = results.of(scenario.name, name)
            if not runs:
                continue
            values = [value for value in results.values(scenario.name, name) if value is not None]
            last = next((run for run in reversed(runs) if run["value"] is not None), None)
            rows.append({
                "scenario": scenario.name, "server": name, "unit": scenarios.UNITS[scenario.metric],
                "median": median(values), "min": min(values, default=None), "max": max(values, default=None),
                "rounds": len(values),
                "to_floor": results.ratio(scenario.name, name, "floor"),
                "to_nginx_rtmp": results.ratio(scenario.name, name, "nginx-rtmp"),
                "latency_ms": (last["reports"][-1].get("latency_ms") if last else None),
                "server_busy": median([busy(run) for run in runs]),
                "shares": last["shares"] if last else {}, "notes": results.notes(scenario.name, name)})
    return rows


def busy(run):
    """How much of a core the servers used in the window."""
    if run["value"] is None:
        return None
    report = run["reports"][-1]
    used, seconds = (report.get("server_usage") or {}).get("cpu_s"), report.get("seconds")
    return used / seconds if used is not None and seconds else None


# Markdown
# ------------------------------------------------------------------------------------------------------------------------


def number(value):
    """Three digits that mean something."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}"


def against_text(row):
    kind, found, name = row["against"].partition(":")
    if row["against"] == "gaps":
        return "gaps"
    if row["against"] == "value":
        return row["unit"]
    if not found:
        return f"x {row['against']}"
    if kind == "predicted":
        return f"x ({name} + {row['cipher']})"
    if kind == "more":
        return f"more than {name}, {row['unit']}"
    return f"capacity, x {name}" if kind == "capacity" else f"x {name}"


def limit_text(row):
    if row["limit"] is None:
        return ""
    return f"{'>=' if row['at_least'] else '<='} {row['limit']:g}"


def aim_text(row):
    if row["aim"] is None:
        return ""
    return f"{row['aim']:g}{' reached' if row['aim_reached'] else ''}"


def lines_of_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows]


def markdown_of_bars(rows):
    return lines_of_table(
        ("scenario", "Penstock", "against", "measured", "bar", "", "aim"),
        [(row["scenario"], f"{number(row['value'])} {row['unit']}", against_text(row), number(row["measured"]),
          limit_text(row), VERDICTS.get(row["verdict"], row["verdict"]), aim_text(row)) for row in rows])


def markdown_of_values(rows):
    cells = []
    for row in rows:
        latency = row["latency_ms"]
        spread = f"{number(row['min'])} - {number(row['max'])}" if row["rounds"] > 1 else ""
        shares = ", ".join(f"{name} {share:.0%}" for name, share in row["shares"].items()) if len(row["shares"]) > 1 else ""
        cells.append((row["scenario"], row["server"], number(row["median"]), row["unit"], spread,
                      ratio_text(row["to_floor"]), ratio_text(row["to_nginx_rtmp"]),
                      f"{number(latency.get('p50'))} / {number(latency.get('p99'))}" if latency else "",
                      f"{row['server_busy']:.0%}" if row["server_busy"] is not None else "",
                      "; ".join(filter(None, [shares, *row["notes"]]))))
    return lines_of_table(("scenario", "server", "median", "unit", "min - max", "x floor", "x nginx-rtmp",
                           "latency p50 / p99, ms", "of a core", "notes"), cells)


def ratio_text(value):
    return "" if value is None else number(value)


def markdown(chosen, results, server_names, facts, plot=None):
    """The whole report."""
    lines = [f"# Penstock beside its peers, {facts['date']}", ""]
    lines += [f"    {facts['command']}", ""]
    lines += lines_of_table(("", ""), [(key, value) for key, value in facts["shown"].items()])
    lines += ["", "## Bars", ""]
    rows = bar_rows(chosen, results)
    lines += markdown_of_bars(rows) if rows else ["None of these scenarios has one, or Penstock was not measured."]
    if plot:
        lines += ["", f"![cost of each server]({plot})"]
    lines += ["", "## Values", ""]
    lines += markdown_of_values(value_rows(chosen, results, server_names))
    lines += ["", "Ratios are medians of the ratios within each round. What each scenario does, and what these numbers do not say, "
              "is in bench/compare/README.md.", "", "| scenario | what |", "|---|---|"]
    lines += [f"| {scenario.name} | {scenario.title} |" for scenario in chosen]
    return "\n".join(lines) + "\n"
