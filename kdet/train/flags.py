"""The flags of the training command."""

from __future__ import annotations

from absl import flags

TEXT, YES = flags.DEFINE_string, flags.DEFINE_boolean

# name -> (kind, default, text); a kind is TEXT, YES, the lower bound of a whole number, or a list
# of the possible values
FLAGS = {
    "data": (
        TEXT,
        None,
        "data set of kdet convert, or the parent of train/ and val/; or annotations, which are "
        "converted to a cache first: a COCO json, or a folder in the form of VOC or YOLO; the URL "
        "of a data set, such as gs://bucket/records, needs kdet[remote]",
    ),
    "images": (TEXT, None, "folder of the images of a COCO json in --data"),
    "out": (TEXT, None, "folder of checkpoints, log, pictures, export; default: runs/ROW"),
    "epochs": (
        1,
        None,
        "passes over the training images; the whole schedule becomes shorter or longer; default: "
        "the row's, or a number that fits the data set (see --fit_data)",
    ),
    "stop_after": (1, None, "stop after so many steps of the schedule"),
    "batch": (1, None, "images per step, all replicas together"),
    "accumulate": (1, None, "compute a batch in so many parts, one after the other"),
    "fit_data": (
        YES,
        None,
        "fit image size, anchors, counts, length and learning rate to the data set; default: yes, "
        "unless its classes are those of COCO or VOC; `kdet plan` shows the result",
    ),
    "init": (
        TEXT,
        None,
        "weights to start from: none, imagenet (the published backbone; default with --data), "
        "released, a kdet checkpoint, or Paddle's A.tar[,B.tar]",
    ),
    "resume": (YES, False, "continue from the last checkpoint in --out, if there is one"),
    "other_data": (YES, False, "let --resume continue with other training records"),
    "replicas": (0, 0, "devices to use; 0: every GPU, or one CPU"),
    "precision": (["fp32", "bf16", "fp16"], "fp32", "number format of the network"),
    "jit": (["auto", "on", "off"], "auto", "compile the step with XLA"),
    "seed": (0, 0, "seed of initial weights, data order, augmentation"),
    "eval_every": (
        0,
        None,
        "steps between evaluations; 0: none; default: 5 evaluations a run (synthetic data: 2)",
    ),
    "patience": (1, None, "stop early after so many evaluations without a better metric"),
    "checkpoint_every": (1, 500, "steps between checkpoints"),
    "log_every": (1, 20, "steps between lines of the log"),
    # Not the default: CPU runs are repeatable without it, and a step takes half the time.
    "deterministic": (YES, False, "on GPUs: equal runs give equal bits, but slower"),
    "help": (YES, False, "show this text"),
}


def define() -> flags.FlagValues:
    """The flags with their default values."""
    values = flags.FlagValues()
    for name, (kind, default, text) in FLAGS.items():
        if isinstance(kind, list):
            flags.DEFINE_enum(name, default, kind, text, flag_values=values)
        elif isinstance(kind, int):
            flags.DEFINE_integer(name, default, text, lower_bound=kind, flag_values=values)
        else:
            kind(name, default, text, flag_values=values)
    return values
