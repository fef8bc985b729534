"""Draws the total loss and the metric over the steps from the logs of runs, one line per run.

    pip install matplotlib
    python benchmarks/curves.py runs/a/log.jsonl runs/b/log.jsonl --names "seed 0,seed 1" \\
        --metric mAP_11point --reference original.csv --out curves.png

--reference is a csv file with the columns step and loss, for example of the original.
"""

import argparse
import csv
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


def main():
    """Reads the logs and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("--names", help="names of the lines, with commas; default: folders of logs")
    parser.add_argument("--metric", default="AP", help="a metric of the evaluations, e.g. AP")
    parser.add_argument("--reference", help="csv file with losses of another system")
    parser.add_argument("--out", required=True)
    flags = parser.parse_args()
    names = flags.names.split(",") if flags.names else [log.parent.name for log in flags.logs]
    if len(names) != len(flags.logs):
        parser.error(f"expected {len(flags.logs)} names, got {len(names)}")

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for log, name in zip(flags.logs, names):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        losses = [(row["step"], sum(row["losses"].values())) for row in rows if "losses" in row]
        metrics = [(row["step"], 100 * row["eval"][flags.metric]) for row in rows if "eval" in row]
        left.plot(*zip(*losses), label=name, linewidth=1.2)
        if metrics:
            right.plot(*zip(*metrics), marker="o", label=name, linewidth=1.2)
    if flags.reference:
        with open(flags.reference, newline="") as file:
            rows = [tuple(map(float, row[:2])) for row in list(csv.reader(file))[1:]]
        left.plot(*zip(*rows), label="original", color="grey", linestyle="--", linewidth=1.2)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    right.set(xlabel="step", ylabel=f"{flags.metric}, %", ylim=(0, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(flags.out, dpi=110)


if __name__ == "__main__":
    main()
