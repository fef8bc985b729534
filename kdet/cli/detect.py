"""kdet detect: pictures and rows of what a detector finds."""

from __future__ import annotations

from pathlib import Path

from kdet.cli import add_model

DESCRIPTION = None


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


def run(flags):
    """Draws every image and writes detections.json."""
    from tqdm import tqdm

    from kdet import models
    from kdet.errors import DataError
    from kdet.files import write_json
    from kdet.predict import listed

    images = [Path(p) for given in flags.images for p in listed(given)]
    for path in images:  # checked before anything is downloaded
        if not path.is_file():
            raise DataError(f"{path}: no such image")
    detector = models.load(flags.model, flags.weights)
    out = Path(flags.out)
    out.mkdir(parents=True, exist_ok=True)
    pictures = picture_names(images, out)
    rows = {}
    for path, picture in zip(tqdm(images, unit="img", disable=None), pictures):
        found = detector.detect(path)[0]
        found.draw(flags.threshold).save(picture)
        rows[str(path) if path.name in rows else path.name] = [
            {"name": found.names[label], "score": float(score), "box": box.tolist()}
            for box, score, label in zip(found.boxes, found.scores, found.labels)
        ]
    write_json(out / "detections.json", rows)
    print(f"{len(rows)} pictures and detections.json in {out}")


def picture_names(images, out) -> list[Path]:
    """File names of the pictures: all distinct, and none replaces an image.

    Args:
        images: paths.
        out: folder.
    Returns:
        `out/STEM.png`, or `out/STEM_2.png`, ... where that is taken.
    """
    taken, names = {Path(image).resolve() for image in images}, []
    for image in images:
        stem, number = Path(image).stem, 1
        name = out / f"{stem}.png"
        while name.resolve() in taken:
            number += 1
            name = out / f"{stem}_{number}.png"
        taken.add(name.resolve())
        names.append(name)
    return names
