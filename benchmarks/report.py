"""What the scripts of this folder share: options, rounds, the machine, and Markdown tables.

A row of a table is a dict from the name of a column to its value. A ratio is a list of three
numbers: minimum, median and maximum. This file needs only the standard library.
"""

import datetime
import importlib
import json
import os
import platform
import re
import statistics
import sys
from pathlib import Path

OPTIONS = {  # options that several scripts have
    "--peer": {"help": "Python that has torch and torchvision"},
    "--batch": {"type": int, "help": "images per call"},
    "--runs": {"type": int, "help": "measured rounds"},
    "--warmup": {"type": int, "help": "rounds before the measured ones"},
    "--threads": {"type": int, "help": "threads of each side"},
}
# how a number is shown, by the last word of the name of its column
FORMATS = {"GFLOPs": ".1f", "ms": ".1f", "images/s": ".1f", "GFLOP/s": ".0f", "MB": ".1f"}
FORMATS |= {"s": ".1f", "share": ".0%", "agree": ".0%"}
# the best instruction set of a processor with one of these flags in /proc/cpuinfo
SETS = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX"}
# what holds oneDNN (TensorFlow and torch), XLA, and torch's own kernels to AVX2
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
}


def add_options(parser, defaults):
    """Adds options of `OPTIONS` to a parser, and --json.

    Args:
        parser: an `argparse.ArgumentParser`.
        defaults: name of the option -> default. The default `...` makes an option required, and
            that of "--threads" is the number of processors.
    """
    for name, default in {"--threads": os.cpu_count(), **defaults}.items():
        required = default is ...
        default = None if required else default
        parser.add_argument(name, default=default, required=required, **OPTIONS[name])
    parser.add_argument("--json", help="a file for the table, as benchmarks/page.py reads it")


def take_turns(runs, warmup, count):
    """Calls functions in turn, and shows their times on standard error.

    Args:
        runs: functions that return seconds. None stands for a way that does not exist.
        warmup: rounds that do not count.
        count: rounds that count.
    Returns:
        One list of `count` seconds for each function; NaN for None.
    """
    rounds = []
    for number in range(warmup + count):
        seconds = [run() if run else float("nan") for run in runs]
        if number >= warmup:
            rounds.append(seconds)
            print("  ".join(f"{1e3 * s:.1f} ms" for s in seconds), file=sys.stderr, flush=True)
    return list(zip(*rounds))


def ratio(ours, theirs):
    """[min, median, max] of theirs / ours over neighbouring runs, or None without such times."""
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    if any(r != r for r in ratios):
        return None
    return [ratios[0], statistics.median(ratios), ratios[-1]]


def milliseconds(times):
    """The median of seconds, in ms."""
    return 1e3 * statistics.median(times)


def processor():
    """The name of the processor, if the system has it."""
    found = re.search(r"^model name\s*: (.*)$", _cpuinfo(), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def instruction_set():
    """The best instruction set for vectors, e.g. "AVX-512", or the name of the architecture."""
    found = re.search(r"^flags\s*: (.*)$", _cpuinfo(), re.MULTILINE)
    flags = found[1].split() if found else []
    return next((name for flag, name in SETS.items() if flag in flags), platform.machine())


def _cpuinfo():
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def machine(threads, held=None):
    """{"processor", "instructions", "cores", "threads", "held"} of this machine.

    Args:
        threads: threads of each side.
        held: the instruction set that both sides are held to. None: what the environment says.
    """
    return {
        "processor": processor(),
        "instructions": instruction_set(),
        "cores": os.cpu_count(),
        "threads": threads,
        "held": held or os.environ.get("ONEDNN_MAX_CPU_ISA"),
    }


def describe(machine):
    """A machine in one line."""
    held = f", held to {machine['held']}" if machine["held"] else ""
    return (
        f"{machine['processor']}, {machine['instructions']}{held}, {machine['cores']} cores, "
        f"{machine['threads']} threads"
    )


def versions(*modules, peers=()):
    """{"Python": version, ...} of imported modules, and of the peers, in the order given.

    Args:
        modules: names of modules, e.g. "tensorflow".
        peers: the first lines of peers, e.g. "torch 2.14.1, torchvision 0.29.1".
    """
    found = {"Python": platform.python_version()}
    for name in modules:
        # OpenVINO adds the name of its build
        found[name] = importlib.import_module(name).__version__.split("-")[0]
    for line in peers:
        found |= dict(pair.split(" ", 1) for pair in line.split(", "))
    return found


def table(rows):
    """Rows as a Markdown table. The columns are those of the first row."""
    return head(rows[0]) + "".join(line(row, rows[0]) for row in rows)


def head(columns):
    """The first two lines of a table."""
    columns = list(columns)
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"


def line(row, columns):
    """One line of a table."""
    return f"| {' | '.join(cell(name, row.get(name)) for name in columns)} |\n"


def cell(column, value):
    """One value as text."""
    if value is None or value != value:
        return "-"
    if isinstance(value, (list, tuple)):
        low, middle, high = value
        return f"{low:.2f}, **{middle:.2f}**, {high:.2f}"
    if isinstance(value, float):
        return format(value, FORMATS.get(column.split()[-1], ".2f"))
    return str(value).replace("|", "/").replace("\n", " ")


def publish(flags, title, rows, versions, note=""):
    """Prints a table for docs/benchmarks.md, and writes it to the file of --json.

    Args:
        flags: parsed options, with "threads" and "json".
        title: what was compared. `page.py` joins tables with the same title.
        rows: see above; all have the same columns.
        versions: result of `versions`.
        note: a sentence below the table.
    """
    print(f"\n{datetime.date.today()}, {describe(machine(flags.threads))}")
    print(f"{listed(versions)}\n\n{table(rows)}" + (f"\n{note}" if note else ""), flush=True)
    save(flags, title, rows, versions, note)


def save(flags, title, rows, versions, note=""):
    """Writes a table to the file of --json, if there is one. See `publish` for the arguments."""
    if flags.json:
        found = {"title": title, "rows": rows, "versions": versions, "note": note}
        Path(flags.json).write_text(json.dumps(found))


def listed(versions):
    """The result of `versions` in one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
