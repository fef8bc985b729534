"""What tests/test_docs_commands.py needs: the commands of the pages, and small stand-ins for data.

Blocks of shell are run by bash itself, so quotes, variables and loops mean what they mean to a
reader. The programs that they call are replaced by one that writes down its arguments.
"""

import json
import pathlib
import re
import shlex
import subprocess
import tarfile
from dataclasses import dataclass

import numpy as np
import published
from PIL import Image

from kdet import models
from kdet.config.labels import COCO_LABELS, VOC_LABELS
from kdet.weights import paddle
from kdet.weights.addresses import released, start_url

ROOT = pathlib.Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
PROGRAMS = ("kdet", "python", "python3", "pip", "make", "tensorboard")
SHELL, PYTHON = ("bash", "sh", "shell"), ("python",)
OTHER = ("", "text", "json", "toml", "yaml", "diff")  # languages of blocks without commands
# Scripts and modules that do the same as a part of `kdet`.
DOORS = {
    ("-m", "kdet"): [],
    ("tfrecords_tools/from_coco.py",): ["convert", "coco"],
    ("tfrecords_tools/from_voc.py",): ["convert", "voc"],
    ("tfrecords_tools/describe.py",): ["describe"],
    **{(f"recipes/{row}.py",): ["train", row] for row in models.names()},
}
NOTE = """#!/bin/sh
printf '%s\\0' "$#" "$PWD" "${0##*/}" "$@" >> "$NOTES"
"""


@dataclass(frozen=True)
class Block:
    """A block of code of a page: its language, its text, and the line where it starts."""

    language: str
    text: str
    line: int


def blocks(text):
    """The fenced and the indented blocks of a page, in order; indented ones are shell."""
    found, lines, number, in_list = [], text.splitlines(), 0, False
    while number < len(lines):
        line, start = lines[number], number + 1
        fence = re.match(r"\s*```(.*)$", line)
        if fence:
            end = next(k for k in range(start, len(lines)) if lines[k].strip() == "```")
            found.append(Block(fence[1].strip(), "\n".join(lines[start:end]), start + 1))
            number = end
        elif line.startswith("    ") and not in_list and not lines[number - 1].strip():
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            body = "\n".join(part[4:] for part in lines[number:end])
            found.append(Block("sh", body.strip("\n"), start))
            number = end - 1
        elif line.strip() and not line.startswith(" "):
            in_list = bool(re.match(r"[-*+] |\d+[.)] ", line))
        number += 1
    return found


def inline(text):
    """The commands between single backquotes, as lists of words; optional parts are taken in."""
    prose = re.sub(r"^\s*```.*?^\s*```$", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`(?:\.venv/bin/)?([^`]+)`", prose)
    spans = (" ".join(span.split()) for span in spans)
    spans = (span for span in spans if span.split(" ")[0] in PROGRAMS)
    words = (shlex.split(re.sub(r"\[(--[^]]+)\]", r"\1", span)) for span in spans)
    return [w for w in words if len(w) > 1]


def shell_commands(text, folder, tools):
    """What a block of shell calls, without running it: [(working folder, [program, ...])].

    Args:
        text: the block; bash fails it if it calls anything but PROGRAMS.
        folder: where it starts.
        tools: folder for the programs that only write down their arguments.
    """
    notes = tools / "notes"
    tools.mkdir(exist_ok=True)
    for name in PROGRAMS:
        (tools / name).write_text(NOTE)
        (tools / name).chmod(0o755)
    notes.write_bytes(b"")
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={"PATH": str(tools), "NOTES": str(notes), "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"a command that this test does not know: {done.stderr}\n{text}"
    said, found = notes.read_text().split("\0")[:-1], []
    while said:
        count, place, *rest = said
        found.append((pathlib.Path(place), rest[: int(count) + 1]))
        said = rest[int(count) + 1 :]
    return found


def as_kdet(words):
    """The arguments of `kdet` that a command means, or None."""
    program, *rest = words
    if program == "kdet":
        return rest
    for start, meaning in DOORS.items() if program.startswith("python") else ():
        if tuple(rest[: len(start)]) == start:
            return meaning + rest[len(start) :]
    return None


# what the pages call their data sets: folder of a COCO or VOC tree -> names of the classes
CELLS = ("RBC", "WBC", "Platelets")
SIGNS = ("speedlimit", "crosswalk", "trafficlight", "stop")


def stand_ins(folder):
    """Makes every file that the pages name, as small as it can be, with each class in each part."""
    ids = dict(zip(COCO_LABELS.names, COCO_LABELS.ids))
    for seed, part in enumerate(("train", "val")):
        _coco(
            folder / f"coco/annotations/instances_{part}2017.json",
            folder / f"coco/{part}2017",
            ids,
            seed,
        )
        _coco(folder / f"instances_{part}.json", folder / "images", {"nucleus": 1}, seed)
    for name, labels in (
        ("cells", CELLS),
        ("BCCD", CELLS),
        ("VOCdevkit/VOC2007", VOC_LABELS.names),
    ):
        for seed, part in enumerate(("train", "test")):
            stems = voc_part(folder / name, "JPEGImages", "Annotations", part, labels, seed)
            _lines(folder / name / "ImageSets/Main" / f"{part}.txt", stems)
    for seed, part in enumerate(("train", "valid")):
        stems = voc_part(folder / "roadsign", "images", "annotations", part, SIGNS, seed)
        pairs = [f"./images/{stem}.jpg ./annotations/{stem}.xml" for stem in stems]
        _lines(folder / "roadsign" / f"{part}.txt", pairs)
    _lines(folder / "roadsign/label_list.txt", SIGNS)
    _lines(folder / "labels.txt", CELLS)
    for name in ("street.jpg", "image.jpg", "photos/one.jpg", "photos/two.jpg"):
        _picture(folder / name, [], 0)
    demo = folder / "docs/images/demo.png"
    demo.parent.mkdir(parents=True)
    demo.write_bytes((ROOT / "docs/images/demo.png").read_bytes())
    mobilenet = _trunk("ssd_mobilenet_v1_voc")
    for name in ("MobileNetV1_pretrained", "trunk"):
        _archive(folder / f"{name}.tar", mobilenet)
    heads = published.tensors("ssd_mobilenet_v1_voc")
    three = {n: (s[0] // 21 * 4, *s[1:]) if s[0] % 21 == 0 else s for n, s in heads.items()}
    _archive(folder / "heads.tar", {n: s for n, s in three.items() if n not in mobilenet})


def _lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _scenes(count):
    """[(label, x, y), ...] for each image: `count` classes spread over at least four images."""
    images = max(4, -(-count // 10))
    scenes = [[] for _ in range(images)]
    for k in range(max(count, images)):
        row, column = divmod(k // images, 4)
        scenes[k % images].append((k % count, 16 * column + 2, 16 * row + 2))
    return scenes


def _picture(path, scene, seed):
    """48 rows of 64 noisy pixels; each object is a square of 12 pixels of one colour."""
    pixels = np.random.default_rng(seed).integers(0, 99, (48, 64, 3), np.uint8)
    for label, x, y in scene:
        pixels[y : y + 12, x : x + 12] = 120 + label
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _coco(path, images, ids, seed):
    """A COCO file, its images, and the outlines of the squares; `ids` has the categories."""
    data = {"images": [], "annotations": [], "categories": []}
    data["categories"] = [{"id": number, "name": name} for name, number in ids.items()]
    for number, scene in enumerate(_scenes(len(ids)), 100 * seed + 1):
        name = f"{number:012d}.jpg"
        _picture(images / name, scene, number)
        data["images"].append({"id": number, "file_name": name, "height": 48, "width": 64})
        for label, x, y in scene:
            about = {"id": len(data["annotations"]) + 1, "image_id": number, "iscrowd": 0}
            outline = [x, y, x + 12, y, x + 12, y + 12, x, y + 12]
            about |= {"bbox": [x, y, 12, 12], "area": 144, "segmentation": [outline]}
            data["annotations"].append({**about, "category_id": list(ids.values())[label]})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def voc_part(folder, images, annotations, part, labels, seed):
    """The images and XML files of a part of a VOC tree; returns their stems."""
    stems = []
    for number, scene in enumerate(_scenes(len(labels))):
        stems.append(f"{part}_{number}")
        _picture(folder / images / f"{stems[-1]}.jpg", scene, 100 * seed + number)
        objects = "".join(
            f"<object><name>{labels[label]}</name><difficult>0</difficult><bndbox>"
            f"<xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + 12}</xmax><ymax>{y + 12}</ymax>"
            "</bndbox></object>"
            for label, x, y in scene
        )
        size = "<size><width>64</width><height>48</height></size>"
        _lines(
            folder / annotations / f"{stems[-1]}.xml", [f"<annotation>{size}{objects}</annotation>"]
        )
    return stems


# layers above the backbone in the reference's names
HEAD = re.compile(
    "fpn|retnet|conv_rpn|rpn_|fc[67](_[23])?_[wb]$|cls_score|bbox_pred|mask_|conv5_mask"
    "|yolo_[bto]|conv2d|conv7"
)


def _trunk(row):
    """Names and shapes of the backbone of a row, with the statistics of its norms."""
    found = {n: s for n, s in published.tensors(row).items() if not HEAD.match(n)}
    norms = {n.removesuffix("_scale"): s for n, s in found.items() if n.endswith("_scale")}
    return found | {f"{n}_{kind}": s for n, s in norms.items() for kind in ("mean", "variance")}


def _archive(path, shapes):
    folder = path.with_suffix("")
    paddle.write(folder, ((name, published.values(name, s)) for name, s in shapes.items()))
    with tarfile.open(path, "w") as tar:
        tar.add(folder, folder.name)


def publish(folder, row, which):
    """Puts the archive of a row into a mirror: "released", or the "imagenet" one it starts from."""
    model = models.recipe(row).model
    url = released(row) if which == "released" else start_url(model)
    path = folder / url.rpartition("/")[2]
    if not path.exists():
        _archive(path, published.tensors(row) if which == "released" else _trunk(row))
