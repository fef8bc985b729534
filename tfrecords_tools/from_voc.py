"""VOC XML + images -> TFRecord shards.

python tfrecords_tools/from_voc.py --devkit VOCdevkit/VOC2012 \\
    --list VOCdevkit/VOC2012/ImageSets/Main/trainval.txt --out data/train
"""

from absl import app, flags

from kdet.data.errors import DataError
from kdet.data.voc import convert_voc
from kdet.data.write import summary
from kdet.quiet import import_tensorflow

DEVKIT = flags.DEFINE_string("devkit", None, "Folder with images and XML files.", required=True)
LIST = flags.DEFINE_string("list", None, "Text file: stems, or 'image xml' pairs.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the shards.", required=True)
LABELS = flags.DEFINE_string("labels", None, "Class names, one per line; default: those found.")
SHARDS = flags.DEFINE_integer("shards", None, "Shard files; default: about 64 MiB each.")
WORKERS = flags.DEFINE_integer("workers", None, "Processes; default: one per CPU.")
STRICT = flags.DEFINE_bool("strict", False, "Fail where anything would be left out.")


def main(_):
    """Converts, then prints what came out and what was left out."""
    rest = LABELS.value, SHARDS.value, WORKERS.value, STRICT.value
    try:
        convert_voc(DEVKIT.value, LIST.value, OUT.value, *rest)
    except DataError as error:
        raise SystemExit(f"error: {error}") from None
    print(summary(OUT.value))


if __name__ == "__main__":
    import_tensorflow()
    app.run(main)
