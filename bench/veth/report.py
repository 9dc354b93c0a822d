"""From runs to medians, ratios and the model, and those as markdown."""
import shares
import table

HEADER_BYTES = 14 + 20 + 32  # Ethernet, IPv4, TCP with timestamps


def costs(mode, told, window):
    """CPU-seconds per GB that went the way that the load is about: in, or out to players."""
    moved = told["bytes_received" if mode == "mixed" else "bytes_sent"]
    gb_per_s = moved / told["seconds"] / 1e9
    if gb_per_s <= 0:
        raise ValueError("nothing was moved")
    per_second = {name: window[name] / window["seconds"] for name in ("process_s", "core_s")}
    found = {"gb_per_s": gb_per_s, "mbit_per_s": gb_per_s * 8000, "process": per_second["process_s"] / gb_per_s,
             "core": per_second["core_s"] / gb_per_s, "process_busy": per_second["process_s"]}
    engine = window["engine"]
    way = "sent" if mode == "mixed" else "received"
    payload = engine.get(f"bytes_{way}", 0) - HEADER_BYTES * engine.get(f"packets_{way}", 0)
    # Told ten times a second at best, and read when they come: good for ratios among each other alone.
    if engine.get("turns") and payload > 0:
        found["turns_empty"] = engine["turns_empty"] / engine["turns"]
        found["packets_in_per_gb"], found["packets_out_per_gb"] = (engine[f"packets_{each}"] * 1e9 / payload
                                                                   for each in ("received", "sent"))
    return found


def rows(runs):
    """One per load: medians of both engines, and the median of the ratios within rounds."""
    found = []
    for load in dict.fromkeys(run["load"] for run in runs):
        row = {"load": load}
        by_engine = {engine: [run for run in runs if run["load"] == load and run["engine"] == engine]
                     for engine in ("dpdk", "uring")}
        for engine, those in by_engine.items():
            for name in ("process", "core", "mbit_per_s", "process_busy", "turns_empty", "packets_in_per_gb", "packets_out_per_gb"):
                row[f"{engine}_{name}"] = table.median([run.get(name) for run in those])
            values = [run["process"] for run in those]
            row[f"{engine}_spread"] = [min(values), max(values)] if values else None
            row[f"{engine}_notes"] = list(dict.fromkeys(note for run in those for note in run["notes"]))
        for name in ("process", "core"):
            rounds = [{run["round"]: run[name] for run in by_engine[engine]} for engine in ("dpdk", "uring")]
            both = sorted(set(rounds[0]) & set(rounds[1]))
            row[f"ratio_{name}"] = table.paired_ratio([rounds[0][each] for each in both], [rounds[1][each] for each in both])
        found.append(row)
    return found


def markdown(facts, results):
    lines = [f"# Over a virtual cable: the engines dpdk (AF_PACKET) and uring, {facts['date']}", "", f"    {facts['command']}", ""]
    lines += table.lines_of_table(("", ""), list(facts["shown"].items()))
    if results["runs"]:
        loads = [run["machine_load"] for run in results["runs"]]
        lines += ["", f"The machine's load while this was measured: {min(loads):.1f} to {max(loads):.1f}.", "",
                  "## CPU-s per GB", ""]
        lines += cost_lines(rows(results["runs"]))
    if results["shares"]:
        lines += ["", "## Shares: CPU-s per GB on both cores", ""] + share_lines(results["shares"])
        lines += ["", "## What a NIC would change", ""] + model_lines(results["shares"])
    return "\n".join(lines) + "\n"


def cost_lines(found):
    cells = []
    for row in found:
        for engine in ("dpdk", "uring"):
            if row[f"{engine}_process"] is None:
                continue
            spread = row[f"{engine}_spread"]
            empty, packets = row[f"{engine}_turns_empty"], [row[f"{engine}_packets_{way}_per_gb"] for way in ("in", "out")]
            cells.append((row["load"], engine, table.number(row[f"{engine}_process"]),
                          f"{table.number(spread[0])} - {table.number(spread[1])}", table.number(row[f"{engine}_core"]),
                          f"{row[f'{engine}_mbit_per_s']:.0f}", f"{row[f'{engine}_process_busy']:.0%}",
                          "" if empty is None else f"{empty:.0%}", "" if None in packets else " / ".join(f"{each / 1000:.0f}" for each in packets),
                          f"{table.number(row['ratio_process'])} / {table.number(row['ratio_core'])}" if engine == "dpdk" else "",
                          "; ".join(row[f"{engine}_notes"])))
    return table.lines_of_table(("load", "engine", "penstockd", "min - max", "its whole core", "Mbit/s", "of a core",
                                 "turns empty", "1000 packets per GB, in / out", "x uring, penstockd / core", "notes"), cells)


def share_lines(found):
    cells = []
    for kind in (*shares.ORDER, None):
        cells.append([kind or "**all**"])
        for each in found:
            costs_of = each["cpu_s_per_gb"]
            whole = sum(costs_of[one] for one in shares.ORDER)
            value = whole if kind is None else costs_of[kind]
            cells[-1].append(f"{table.number(value)} ({value / whole:.0%})" if whole else table.UNKNOWN)
    cells.append(["seen of what the scheduler counted"] + [f"{seen(each):.0%}" for each in found])
    cells.append(["Mbit/s while sampled"] + [f"{each['mbit_per_s']:.0f}" for each in found])
    return table.lines_of_table(("", *(f"{each['load']}, {each['engine']}" for each in found)), cells)


def seen(each):
    """Samples of the server, by what the scheduler says that it used: far from 1 they were not taken at random."""
    sampled = sum(value for kind, value in each["cpu_s_per_gb"].items() if kind in shares.ON_SERVER_CORE)
    return sampled / each["process"]


def model_lines(found):
    cells = [(f"{each['load']}, {each['engine']}", *(table.number(each["model"][name]) for name in ("stays", "goes", "polls")))
             for each in found]
    return table.lines_of_table(("CPU-s per GB", "stays", "goes", "looking, waiting, waking"), cells) + [
        "", "What comes is not in it, for none of it was measured: README.md of bench/veth has the model."]
