"""Runs the comparisons of this folder, and writes their tables into docs/benchmarks.md.

    python benchmarks/page.py --peer peer/bin/python
    python benchmarks/page.py --peer peer/bin/python --avx2
    python benchmarks/page.py --only gpu_jax

The results of a run are kept in benchmarks/results/<date>-<machine>.json. The part of the page
between the two marks is made from all of these files, so the tables of other machines stay. The
results are written after every comparison. One that fails is named on the page, and the others
go on. A second run on the same day replaces only what it measures again. `--show` makes the page
without running anything.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import report

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
MARKS = "<!-- results: made by benchmarks/page.py -->", "<!-- /results -->"
CEILING = "Large convolutions"  # the title of the table with the rates
KINDS = ("convolutions", "inference", "training", "operations", "input_pipeline", "workers")
KINDS += ("deploy", "account")
GPU = "gpu_jax"  # runs only if --only names it
KNOWN = (*KINDS, GPU)
BIG = ("retinanet_r50_fpn_1x", "faster_rcnn_r50_fpn_1x", "mask_rcnn_r50_fpn_1x")
INFERENCE = [*((row, 1) for row in BIG), ("ssd_mobilenet_v1_voc", 1), ("ssd_mobilenet_v1_voc", 8)]
INFERENCE += [("yolov3_mobilenet_v1", 1), ("yolov3_darknet", 1)]
TRAINING = [*((row, 2) for row in BIG), ("ssd_mobilenet_v1_voc", 16)]
EXPORTED = ("ssd_mobilenet_v1_voc", "yolov3_mobilenet_v1@320", "retinanet_r50_fpn_1x@320")


def main(arguments=None):
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="Python that has torch and torchvision")
    parser.add_argument("--data", help="records for the input pipeline; default: drawn images")
    parser.add_argument(
        "--only",
        default=",".join(KINDS),
        help=f"some of {','.join(KNOWN)}; default: all except {GPU}",
    )
    parser.add_argument("--quick", action="store_true", help="two rounds of everything")
    parser.add_argument("--avx2", action="store_true", help="hold both sides to AVX2")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--show", action="store_true", help="make the page and run nothing")
    flags = parser.parse_args(arguments)
    if unknown := set(flags.only.split(",")) - set(KNOWN):
        parser.error(f"--only: expected some of {','.join(KNOWN)}, got {','.join(unknown)}")
    split(flags.page)  # a page without the marks is an error before hours of work, not after
    if flags.show:
        show(flags)
        return 0
    failed, before = [], None
    for result, tried in measure(flags):
        failed = result["failed"]
        flags.results.mkdir(parents=True, exist_ok=True)
        path = flags.results / f"{name(result)}.json"
        if before is None:
            before = json.loads(path.read_text()) if path.exists() else {}
        replace(path, json.dumps(joined(before, result, tried), indent=1) + "\n")
        show(flags)
    for comparison in failed:
        print(f"failed: {comparison}")
    return 1 if failed else 0


def joined(before, result, tried):
    """`result` with the tables and failures of an earlier run of the same day that it left out.

    Args:
        before: the stored results of the earlier run, or {}.
        result, tried: see `measure`.
    """
    titles = {table["title"] for table in result["tables"]}
    kept = [table for table in before.get("tables", []) if table["title"] not in titles]
    versions = before.get("versions", {}) | result["versions"]
    old = [text for text in before.get("failed", []) if text.split(" (code")[0] not in tried]
    found = {"versions": versions, "tables": result["tables"] + kept}
    return {**result, **found, "failed": result["failed"] + old}


def show(flags):
    """Writes the generated part of the page."""
    head, tail = split(flags.page)
    replace(flags.page, head + generated(flags.results) + tail)


def jobs(flags):
    """Yields (script, arguments) of every comparison whose peer is there."""
    chosen, peer = flags.only.split(","), ["--peer", flags.peer]
    rounds = ["--runs", "2"] if flags.quick else []
    warm = [*rounds, "--warmup", "1"] if flags.quick else []
    if "convolutions" in chosen:
        yield "convolutions.py", [*(peer if flags.peer else []), *warm]
    if "inference" in chosen and flags.peer:
        for row, batch in INFERENCE:
            # the large detectors take seconds, which vary less
            usual = ["--runs", "6", "--warmup", "2"] if row in BIG else []
            yield "inference.py", [*peer, "--row", row, "--batch", str(batch), *(warm or usual)]
    if "training" in chosen and flags.peer:
        for row, batch in TRAINING:
            yield "training.py", [*peer, "--row", row, "--batch", str(batch), *warm]
    if "operations" in chosen and flags.peer:
        yield "operations.py", [*peer, *warm]
    if "input_pipeline" in chosen:
        data = ["--data", flags.data] if flags.data else []
        yield "input_pipeline.py", [*(peer if flags.peer else []), *data, *rounds]
    if "workers" in chosen:
        yield "workers.py", warm
    # nothing holds the other engines to AVX2, so a comparison with them would not be fair
    if "deploy" in chosen and not flags.avx2:
        yield "deploy.py", [*EXPORTED, *rounds]
    if "account" in chosen:
        for row, batch in TRAINING:
            yield "account.py", ["--row", row, "--batch", str(batch), *warm]
    if GPU in chosen:
        yield f"{GPU}.py", [*(peer if flags.peer else []), *warm]


def environment(flags):
    """The environment of the scripts; with --avx2, that of `report.AVX2` as well."""
    found = dict(os.environ)
    for variable, value in report.AVX2.items() if flags.avx2 else ():
        # XLA_FLAGS is a list of flags, of which there may be others
        old = found.get(variable, "") if variable == "XLA_FLAGS" else ""
        found[variable] = f"{old} {value}".strip()
    return found


def measure(flags):
    """Runs the comparisons, each in a process of its own.

    Args:
        flags: parsed options.
    Yields:
        After each comparison, the results so far: {"date", "machine": see `report.machine`,
        "versions", "tables": [{"title", "rows", "notes"}], "failed": [text]}, and the commands
        so far. Tables of equal titles are joined.
    """
    variables, versions, tables, failed, tried = environment(flags), {}, {}, [], []
    machine = report.machine(flags.threads, "AVX2" if flags.avx2 else None)
    today = str(datetime.date.today())
    for script, arguments in jobs(flags):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.json"
            more = ["--threads", str(flags.threads), "--json", str(path)]
            command = [sys.executable, str(HERE / script), *arguments, *more]
            print(" ".join(command), file=sys.stderr, flush=True)
            code = subprocess.run(command, env=variables).returncode
            found = None if code else json.loads(path.read_text())
        paths = "--peer", flags.peer, "--data", flags.data  # they say nothing on a page
        tried.append(" ".join([script, *(word for word in arguments if word not in paths)]))
        if found:
            table = tables.setdefault(found["title"], {"rows": [], "notes": []})
            table["rows"] += found["rows"]
            table["notes"] += [found["note"]] if found["note"] else []
            versions |= found["versions"]
        else:
            failed.append(f"{tried[-1]} (code {code})")
        result = {
            "date": today,
            "machine": machine,
            "versions": versions,
            "tables": [{"title": title, **table} for title, table in tables.items()],
            "failed": failed,
        }
        yield result, tried


def name(result):
    """The name of the file of a run: its date and its machine."""
    machine = result["machine"]
    words = f"{machine['processor']} {machine['cores']} cores {machine['held'] or ''}".lower()
    return f"{result['date']}-{re.sub(r'[^a-z0-9]+', '-', words).strip('-')}"


def split(page):
    """The text of a page up to the generated part, and the text behind it.

    Raises:
        SystemExit: the page does not have both marks once.
    """
    text = page.read_text("utf-8")
    parts = re.split("|".join(map(re.escape, MARKS)), text)
    if len(parts) != 3 or text.find(MARKS[0]) > text.find(MARKS[1]):
        raise SystemExit(f"{page}: expected the lines {MARKS[0]!r} and {MARKS[1]!r} once each")
    return parts[0], parts[2]


def generated(folder):
    """The part between the marks, with the marks, from all files of `folder`, newest first."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    found.sort(key=lambda result: result["date"], reverse=True)
    return "\n".join([MARKS[0], *map(section, found), MARKS[1]])


def section(result):
    """The tables of one run as Markdown."""
    versions = report.listed(result["versions"])
    lines = [f"\n### {result['date']}, {report.describe(result['machine'])}\n\n{versions}.\n"]
    best = rates(result)
    if best:
        each = " and ".join(f"{rate:.0f} GFLOP/s with {side}" for side, rate in best.items())
        lines.append(f"The fastest large convolution reaches {each}.\n")
    for table in result["tables"]:
        rows = [with_share(row, best) for row in table["rows"]]
        lines.append(f"**{table['title']}**\n\n{report.table(rows)}")
        lines += [f"{' '.join(table['notes'])}\n"] if table["notes"] else []
    lines += [f"This comparison failed: `{comparison}`.\n" for comparison in result["failed"]]
    return "\n".join(lines)


def rates(result):
    """{"kdet": GFLOP/s, "torchvision": GFLOP/s} of the fastest large convolution of a run."""
    rows = [r for t in result["tables"] if t["title"] == CEILING for r in t["rows"]]
    found = {}
    for side in ("kdet", "torchvision"):
        measured = [row[f"{side} GFLOP/s"] for row in rows if row[f"{side} GFLOP/s"]]
        found |= {side: max(measured)} if measured else {}
    return found


def with_share(row, best):
    """A row of a detector with the share of its side's rate; other rows as they are."""
    side = row.get("detector", "").split(" ")[0]
    if side not in best:
        return row
    found = {}
    for column, value in row.items():
        found[column] = value
        if column == "GFLOP/s":
            found["share"] = value / best[side]
    return found


def replace(path, text):
    """Writes a file under another name first, so that it is never incomplete."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
