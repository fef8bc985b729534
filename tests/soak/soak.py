"""Measures robustness: killed processes, damaged files, and memory over many steps.

python tests/soak/soak.py kill-train --kills 100
python tests/soak/soak.py kill-convert --kills 100
python tests/soak/soak.py fuzz
python tests/soak/soak.py memory --stop_after 2000

Every part prints one line with its results. The exit code is 1 if something is wrong. All random
choices depend on --seed. docs/benchmarks.md has the results of the last run.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = [
    *("train", "ssd_mobilenet_v1_voc", "--init=none", "--batch=4", "--eval_every=200"),
    *("--checkpoint_every=10", "data.short_side=64", "data.long_side=64"),
    *("model.backbone.width=0.0625", "data.augment.crops=()"),
]
WARM_UP = 1000  # steps with five evaluations, in which TensorFlow fills its caches


def kdet(*arguments, **options):
    """Starts the `kdet` command in a new process."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "kdet", *map(str, arguments)]
    errors = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would stop a long run
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=errors,
                               stdout=subprocess.DEVNULL, **options)  # fmt: skip
    process.errors = errors
    return process


def finish(process):
    """Waits for a process. If it failed, prints the end of its errors and exits."""
    if process.wait():
        process.errors.seek(0)
        errors = process.errors.read()
        raise SystemExit(f"exit code {process.returncode}: {errors[-2000:]}")


def make_photos(folder, images=120):
    """Makes a COCO data set of small synthetic images: the annotation file and the image folder."""
    import numpy as np
    from PIL import Image

    from kdet.data.convert import synthetic

    (folder / "photos").mkdir(parents=True)
    listed, annotations = [], []
    for number in range(1, images + 1):
        pixels, shapes = synthetic.draw_scene(np.random.default_rng([7, number]), (64, 64))
        name = f"{number:04d}.jpg"
        Image.fromarray(pixels).save(folder / "photos" / name, quality=92)
        listed.append({"id": number, "file_name": name, "height": 64, "width": 64})
        for shape in shapes:
            low, high = shape.points.min(0), shape.points.max(0)
            box = [float(v) for v in (*low, *(high - low))]
            row = {"id": len(annotations) + 1, "image_id": number, "bbox": box, "iscrowd": 0}
            annotations.append({**row, "category_id": shape.label + 1, "area": box[2] * box[3]})
    categories = [{"id": k, "name": name} for k, name in enumerate(synthetic.SHAPES, 1)]
    path = folder / "photos.json"
    content = {"images": listed, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path, folder / "photos"


def kill_loop(start, done, kills, rng, delays):
    """Starts a command repeatedly and kills it after a random time, `kills` times.

    Args:
        start: () -> running process.
        done: called when a command ended before it was killed. It prepares a new round.
        kills: number of kills.
        rng: random.Random.
        delays: smallest and largest number of seconds before a kill.
    Returns:
        The number of completed rounds.
    """
    killed = rounds = 0
    while killed < kills:
        process = start()
        try:
            process.wait(rng.uniform(*delays))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            print(f"\r{killed} kills, {rounds} rounds", end="", file=sys.stderr, flush=True)
            continue
        finish(process)
        rounds += 1
        done()
    finish(start())
    return rounds + 1


def kill_train(flags, folder, rng):
    """Checks that a killed and resumed run ends with the weights of an uninterrupted run."""
    import numpy as np

    annotations, photos = make_photos(folder)
    for split in ("train", "val"):
        out = folder / "data" / split
        finish(kdet("convert", "coco", "--annotations", annotations, "--images", photos,
                    "--out", out))  # fmt: skip
    command = [*TRAIN, f"--data={folder / 'data'}", f"--stop_after={flags.steps or 400}"]
    finish(kdet(*command, f"--out={folder / 'whole'}"))
    state = {"round": 0}

    def out():
        return folder / f"killed{state['round']}"

    def done():
        compare(out())
        state["round"] += 1

    def compare(killed):
        for name in ("last.npz", "best.npz"):
            one, other = np.load(folder / "whole" / name), np.load(killed / name)
            assert one.files == other.files, name
            for key in one.files:
                assert np.array_equal(one[key], other[key]), f"{killed / name}: {key} differs"
        left = [p.name for p in killed.iterdir() if p.name.endswith(".tmp")]
        assert not left, left

    rounds = kill_loop(
        lambda: kdet(*command, f"--out={out()}", "--resume"), done, flags.kills, rng, (5, 14)
    )
    compare(out())
    print(f"training: {flags.kills} kills, {rounds} runs ended equal to the uninterrupted one")


def kill_convert(flags, folder, rng):
    """Checks that a killed and restarted conversion writes the files of an uninterrupted one."""
    annotations, photos = make_photos(folder, 400)
    convert = ["convert", "coco", "--annotations", annotations, "--images", photos, "--shards=8"]
    finish(kdet(*convert, "--out", folder / "whole"))
    out = folder / "killed"

    def done():
        names = sorted(p.name for p in (folder / "whole").iterdir())
        assert names == sorted(p.name for p in out.iterdir()), sorted(out.iterdir())
        same = filecmp.cmpfiles(folder / "whole", out, names, shallow=False)
        assert not same[1] and not same[2], same
        shutil.rmtree(out)

    rounds = kill_loop(
        lambda: kdet(*convert, "--out", out, "--workers=2"), done, flags.kills, rng, (0.5, 9)
    )
    done()
    print(f"conversion: {flags.kills} kills, {rounds} data sets equal to the uninterrupted one")


def memory(flags, folder, rng):
    """Checks that resident memory stays constant over many training steps of a small row."""
    annotations, photos = make_photos(folder)
    finish(kdet("convert", "coco", "--annotations", annotations, "--images", photos,
                "--out", folder / "data"))  # fmt: skip
    steps = WARM_UP + (flags.steps or 2000)
    command = [
        *TRAIN,
        f"--data={folder / 'data'}",
        f"--stop_after={steps}",
        f"--out={folder / 'run'}",
    ]
    process, log, seen = kdet(*command), folder / "run" / "log.jsonl", []
    while process.poll() is None:
        time.sleep(0.5)
        if log.is_file() and (lines := log.read_text().splitlines()):
            step = json.loads(lines[-1]).get("step", 0) if lines[-1].endswith("}") else 0
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            seen.append((step, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))
    finish(process)
    medians = {}
    for start in range(0, steps, 200):
        if part := sorted(m for step, m in seen if start <= step < start + 200):
            medians[start] = part[len(part) // 2]
            print(f"from step {start}: {medians[start]:.0f} MB")
    later = [m for start, m in medians.items() if start >= WARM_UP]
    growth = later[-1] / later[0] - 1
    print(f"memory: {growth:+.1%} after the first {WARM_UP} steps")
    assert growth < 0.02, f"resident memory grew by {growth:.1%}"


def main():
    """Runs one part in a temporary folder."""
    import fuzz

    parts = {"kill-train": kill_train, "kill-convert": kill_convert, "memory": memory}
    parts["fuzz"] = fuzz.fuzz
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=parts)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--stop_after", type=int, help="of training; default 400, for memory 2000")
    parser.add_argument("--files", type=int, default=2000, help="damaged files of the larger kinds")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        parts[flags.part](flags, Path(folder), random.Random(flags.seed))
    print(f"{flags.part}: {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
