"""kdet detect: pictures and rows of what a detector finds."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from kdet.cli import add_model
from kdet.files import check_out

DESCRIPTION = """Draws what a detector finds on images and videos. An image that cannot be read is
skipped and listed at the end; the exit code is then 1. A stop with Ctrl+C keeps what is done."""
_LONGEST = 255  # bytes of a file name on common disks
_STOPPED = 130  # exit code of a program that Ctrl+C ended


def add_arguments(parser):
    """The command's arguments."""
    add_model(parser, engine=True)
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, folders of them, or video files"
    )
    add = parser.add_argument
    add("--out", default="detections", help="folder of pictures and rows (default: %(default)s)")
    add("--threshold", type=float, default=0.3, help="lowest score drawn (default: %(default)s)")
    add(
        "--batch", type=int, help="images, frames or tiles per call (default: 1, or 4 with --tiles)"
    )
    add(
        "--tiles",
        nargs="?",
        const=True,
        type=_pixels,
        metavar="SIZE",
        help="cut large images into overlapping tiles of SIZE x SIZE pixels, which is good for "
        "small objects (without SIZE: the largest tiles that the detector does not reduce)",
    )
    add(
        "--overlap",
        type=float,
        default=0.2,
        help="share of a tile that its neighbour sees, too (default: %(default)s)",
    )
    add("--no-whole", action="store_true", help="with --tiles: do not look at the whole image")
    add("--every", type=int, default=1, metavar="N", help="of a video, use each N-th frame only")


def _pixels(text):
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels; images go before --tiles")


def check(flags) -> int | None:
    """Finds the images and videos. Returns 1 if there is none at all."""
    from kdet.predict.images import is_video
    from kdet.predict.video import import_av

    flags.out, flags.options = check_out(flags.out), _options(flags)
    flags.images, flags.problems = given_images(flags.images)
    if any(map(is_video, flags.images)):
        import_av()
    return None if flags.images else _finish(flags.problems)


def run(flags) -> int:
    """Draws every image and writes detections.json; makes an annotated copy of every video.

    Returns:
        0; 1 where an image or a video was skipped; 130 after Ctrl+C.
    Raises:
        KdetError: the detector cannot be loaded.
    """
    from kdet.models.loading import load_source
    from kdet.predict.images import is_video

    out, problems = flags.out, flags.problems
    videos = [path for path in flags.images if is_video(path)]
    images = [path for path in flags.images if not is_video(path)]
    detector = load_source(flags.source)
    out.mkdir(parents=True, exist_ok=True)
    shared = detector, out, flags, flags.options, problems
    stopped = bool(images) and _draw_images(images, *shared)
    stopped = stopped or bool(videos) and _draw_videos(videos, *shared)
    code = _finish(problems)
    return _STOPPED if stopped else code


def _options(flags) -> dict:
    """Arguments of `Detector.detect` that differ from its defaults."""
    from kdet.errors import ConfigError
    from kdet.predict.run import check_batch
    from kdet.predict.tiles import check

    check(flags.tiles, flags.overlap)
    check_batch(flags.batch)
    if flags.every < 1:
        raise ConfigError(f"--every: expected at least 1, got {flags.every}")
    options = {} if flags.batch is None else {"batch": flags.batch}
    if flags.tiles is not None:
        whole = not flags.no_whole
        options |= {"tiles": flags.tiles, "overlap": flags.overlap, "whole": whole}
    return options


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


def _draw_images(images, detector, out, flags, options, problems) -> bool:
    """Draws the images and writes detections.json; gives whether Ctrl+C stopped it."""
    from tqdm import tqdm

    from kdet.files import write_json
    from kdet.predict.run import file_batches

    done, stopped = {}, False  # number of the image -> its rows
    # an image that is cut into tiles makes batches of its own
    batch = 1 if "tiles" in options else options.get("batch", 1)
    pictures = picture_names(images, out)
    try:
        with tqdm(total=len(images), unit="img", disable=None) as bar:
            for numbers in file_batches(images, detector.data, batch):
                paths = [images[k] for k in numbers]
                for k, found in zip(numbers, _found(detector, paths, options, problems)):
                    bar.update()
                    if found is not None:
                        _save(found.draw(flags.threshold), pictures[k])
                        done[k] = found.rows()
    except KeyboardInterrupt:
        stopped = True
    finally:
        rows = {}
        for k in sorted(done):
            names = (images[k].name, str(images[k]), str(images[k].absolute()))
            rows[next((name for name in names if name not in rows), names[-1])] = done[k]
        write_json(out / "detections.json", rows)
    print(f"{len(rows)} pictures and detections.json in {out}")
    if stopped:
        problems.append(f"stopped after {len(rows)} of {len(images)} images")
    return stopped


def _found(detector, paths, options, problems):
    """The detections of each image, or None for one that cannot be read."""
    from kdet.errors import DataError

    try:
        return detector.detect(paths if len(paths) > 1 else paths[0], **options)
    except DataError as error:
        if len(paths) == 1:
            problems.append(str(error))
            return [None]
    return [_found(detector, [path], options, problems)[0] for path in paths]


def _draw_videos(videos, detector, out, flags, options, problems) -> bool:
    """Makes a copy and a JSON file of each video; gives whether Ctrl+C stopped it."""
    from kdet.errors import DataError
    from kdet.predict.video import detect_video
    from kdet.train.signals import stop_on_signal

    copies = picture_names(videos, out, ".mp4")
    with stop_on_signal() as stop:
        for path, copy in zip(videos, copies):
            try:
                frames, damaged = detect_video(
                    *(detector, path, copy, flags.threshold, flags.every),
                    stop=lambda: stop.asked,
                    **options,
                )
            except DataError as error:
                problems.append(str(error))
                continue
            if damaged:
                problems.append(f"{path}: {damaged} damaged packets were left out")
            if frames:
                print(f"{frames} frames of {path.name} in {copy} and {copy.stem}.json")
            if stop.asked:
                problems.append(f"{path}: stopped after {frames} frames")
                break
    return stop.asked


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


def picture_names(images, out, suffix=".png") -> list[Path]:
    """File names of the pictures or videos: all distinct, and none replaces an original.

    Args:
        images: paths.
        out: folder.
        suffix: of the names.
    Returns:
        `out/STEM.png`, or `out/STEM_2.png`, ... where that is taken, also in another case. Stems
        are cut where the name would be longer than 255 bytes.
    """
    taken, names = {_place(image) for image in images}, []
    if suffix != ".png":  # its JSON file would have the name of that of the images
        taken.add(_place(Path(out) / f"detections{suffix}"))
    for image in images:
        number = 1
        name = out / _picture_name(image, suffix)
        while _place(name) in taken:
            number += 1
            name = out / _picture_name(image, f"_{number}{suffix}")
        taken.add(_place(name))
        names.append(name)
    return names


def _picture_name(image, end):
    stem = Path(image).stem
    longest = _LONGEST if end.endswith(".png") else _LONGEST - 40  # a video's temporary name
    while len(os.fsencode(f"{stem}{end}")) > longest:
        stem = stem[:-1]
    return f"{stem}{end}"


def _place(path):
    return str(Path(path).resolve()).casefold()
