"""COCO json + images -> TFRecord shards.

python tfrecords_tools/from_coco.py --annotations instances_train2017.json \\
    --images train2017 --out data/train
"""

from absl import app, flags

from kdet.data.coco import convert_coco
from kdet.data.errors import DataError
from kdet.data.write import summary
from kdet.quiet import import_tensorflow

ANNOTATIONS = flags.DEFINE_string("annotations", None, "COCO instances json.", required=True)
IMAGES = flags.DEFINE_string("images", None, "Folder of the images.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the shards.", required=True)
SHARDS = flags.DEFINE_integer("shards", None, "Shard files; default: about 64 MiB each.")
WORKERS = flags.DEFINE_integer("workers", None, "Processes; default: one per CPU.")
STRICT = flags.DEFINE_bool("strict", False, "Fail where anything would be left out.")


def main(_):
    """Converts, then prints what came out and what was left out."""
    try:
        convert_coco(
            ANNOTATIONS.value, IMAGES.value, OUT.value, SHARDS.value, WORKERS.value, STRICT.value
        )
    except DataError as error:
        raise SystemExit(f"error: {error}") from None
    print(summary(OUT.value))


if __name__ == "__main__":
    import_tensorflow()
    app.run(main)
