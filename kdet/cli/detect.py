"""kdet detect: pictures and rows of what a detector finds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kdet.cli import add_model
from kdet.files import check_out

DESCRIPTION = """Draws what a detector finds on images. An image that cannot be read is skipped and
listed at the end; the exit code is then 1. A stop with Ctrl+C keeps what is done."""
_LONGEST = 255  # bytes of a file name on common disks
_STOPPED = 130  # exit code of a program that Ctrl+C ended


def add_arguments(parser):
    """The command's arguments."""
    add_model(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders of them")
    parser.add_argument(
        "--out", default="detections", help="folder of pictures and rows (default: %(default)s)"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.3, help="lowest score drawn (default: %(default)s)"
    )


def check(flags) -> int | None:
    """Finds the images. Returns 1 if there is none at all."""
    flags.out = check_out(flags.out)
    flags.images, flags.problems = given_images(flags.images)
    return None if flags.images else _finish(flags.problems)


def run(flags) -> int:
    """Draws every image and writes detections.json.

    Returns:
        0; 1 where an image was skipped; 130 after Ctrl+C.
    Raises:
        KdetError: the detector cannot be loaded.
    """
    from kdet import models
    from kdet.files import write_json

    out, images, problems = flags.out, flags.images, flags.problems
    detector = models.load(flags.model, flags.weights)
    out.mkdir(parents=True, exist_ok=True)
    rows, stopped = {}, False
    try:
        _draw_all(detector, images, out, flags.threshold, rows, problems)
    except KeyboardInterrupt:
        stopped = True
    finally:
        write_json(out / "detections.json", rows)
    print(f"{len(rows)} pictures and detections.json in {out}")
    code = _finish(problems)
    if stopped:
        print(f"kdet detect: stopped after {len(rows)} of {len(images)} images", file=sys.stderr)
    return _STOPPED if stopped else code


def given_images(arguments) -> tuple[list[Path], list[str]]:
    """The image files that the command was given, each once, and what is wrong with others.

    Args:
        arguments: paths of images and of folders.
    Returns:
        images: paths of files that are there; their content is not looked at.
        problems: a message for each other path.
    """
    from kdet.errors import DataError
    from kdet.predict import check_file, listed

    images, problems = {}, []
    for argument in arguments:
        try:
            paths = listed(argument)
        except DataError as error:
            problems.append(str(error))
            continue
        for path in map(Path, paths):
            try:
                check_file(path)
                images[path] = True
            except DataError as error:
                problems.append(str(error))
    return list(images), problems


def _draw_all(detector, images, out, threshold, rows, problems):
    """Draws the images; adds to `rows` (name -> what was found) and to `problems`."""
    from tqdm import tqdm

    from kdet.errors import DataError

    pictures = picture_names(images, out)
    for path, picture in zip(tqdm(images, unit="img", disable=None), pictures):
        try:
            found = detector.detect(path)[0]
        except DataError as error:
            problems.append(str(error))
            continue
        _save(found.draw(threshold), picture)
        names = (path.name, str(path), str(path.absolute()))
        rows[next((name for name in names if name not in rows), names[-1])] = [
            {"name": found.names[label], "score": float(score), "box": box.tolist()}
            for box, score, label in zip(found.boxes, found.scores, found.labels)
        ]


def _save(picture, path):
    try:
        picture.save(path)
    except BaseException:  # also Ctrl+C: half a picture must not stay
        path.unlink(missing_ok=True)
        raise


def _finish(problems):
    for problem in problems:
        line = " ".join(problem.splitlines())  # a file name may hold line breaks
        print(f"kdet detect: {line}", file=sys.stderr)
    return 1 if problems else 0


def picture_names(images, out) -> list[Path]:
    """File names of the pictures: all distinct, and none replaces an image.

    Args:
        images: paths.
        out: folder.
    Returns:
        `out/STEM.png`, or `out/STEM_2.png`, ... where that is taken. Stems are cut where the name
        would be longer than 255 bytes. Names that differ in case only count as equal, because
        some disks do not tell them apart.
    """
    taken, names = {_place(image) for image in images}, []
    for image in images:
        number = 1
        name = out / _picture_name(image, "")
        while _place(name) in taken:
            number += 1
            name = out / _picture_name(image, f"_{number}")
        taken.add(_place(name))
        names.append(name)
    return names


def _picture_name(image, end):
    stem = Path(image).stem
    while len(os.fsencode(f"{stem}{end}.png")) > _LONGEST:
        stem = stem[:-1]
    return f"{stem}{end}.png"


def _place(path):
    return str(Path(path).resolve()).casefold()
