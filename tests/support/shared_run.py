"""Training runs of the toy family in processes of their own, with replicas, workers and faults.

As a script: `shared_run.py JSON` runs `{"arguments": [...], "out": file, ...}` (see `main`).
"""

import functools
import json
import os
import sys
import time

from toy_family import FAMILY
from toy_family.config import CentreNet, PlainNet

from kdet.config import Data, Optimizer, Recipe, Schedule
from kdet.models import families

RECIPE = Recipe(
    "toy",
    CentreNet(PlainNet(8), num_classes=4),
    Data(short_side=64, long_side=64, canvases=((64, 64),)),
    Schedule(images=4000, milestones=(), base_lr=0.05, batch=4, base_batch=4, warmup_images=40),
    Optimizer(),
)


def counted(seen, function):
    """Notes the number of images of a share."""

    @functools.wraps(function)
    def run(*arguments):
        found = function(*arguments)
        seen["images"].append(len(found))
        return found

    return run


def noted(seen, function):
    """Notes the metrics of an evaluation and the detections that they are made from."""

    @functools.wraps(function)
    def run(*arguments, predict):
        metrics = function(*arguments, predict=kept(seen, predict))
        seen["metrics"].append(metrics)
        return metrics

    return run


def kept(seen, predict):
    """Notes the detections of all images, in their order."""

    def run(*arguments):
        found = predict(*arguments)
        seen["found"].append([[i, {k: v.tolist() for k, v in d.items()}] for i, d in found.items()])
        return found

    return run


def short_analysis(seen, detector, records, out, log, batch, predict):
    """The detections of the analysis without its figures, which take long."""
    from kdet.evaluate.run import detect_records

    detect_records(detector, records, detector.data, batch, predict=kept(seen, predict))
    return {"summary": "analysed"}


def slow_once(seconds, function):
    """Sleeps in the first call."""
    left = [seconds]

    def run(*arguments):
        time.sleep(left.pop() if left else 0)
        return function(*arguments)

    return run


def die(*_):
    """Ends the process, a little later: the chief has seen the workers agree by then."""
    time.sleep(2)
    os._exit(9)


def prepare(asked):
    """Changes the package for a job, and returns what it notes."""
    import tensorflow as tf

    from kdet.train import distribution, evaluations, exchange, previews, run, shares

    seen = {"images": [], "metrics": [], "found": [], "devices": []}
    families.FAMILIES.append(FAMILY)
    run.export = lambda detector, folder: folder
    evaluations.analyse = functools.partial(short_analysis, seen)
    evaluations.evaluate = noted(seen, evaluations.evaluate)
    shares.predict_records = counted(seen, shares.predict_records)
    exchange.SILENCE = asked.get("silence", exchange.SILENCE)
    if asked.get("draw"):
        previews.prediction_sheet = slow_once(asked["draw"], previews.prediction_sheet)
    if asked.get("dies"):
        shares.predict_records = die
    if asked.get("timeout"):
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=asked["timeout"])
        distribution.make_strategy = lambda _: tf.distribute.MultiWorkerMirroredStrategy(
            communication_options=options
        )
    make = shares.Devices._function

    def function(self, model, device):
        made = make(self, model, device)

        def call(inputs):
            seen["devices"].append(device[-5:])
            return made(inputs)

        return call

    shares.Devices._function = function
    return seen


def main(text):
    """Runs a job and writes what it saw: the exit code, metrics, detections, images
    per share and devices.

    The job has "arguments" of the training command and "out", a json file. It may have "silence"
    (seconds after which a worker counts as lost), "timeout" of collectives and "draw", how long the
    first picture takes, in seconds, and "dies": the process ends in its first evaluation.
    """
    asked = json.loads(text)
    from kdet.train import cli

    seen = prepare(asked)
    code = cli.run(RECIPE, asked["arguments"])
    with open(asked["out"], "w") as file:
        json.dump({"code": code, **seen}, file)


if __name__ == "__main__":
    main(sys.argv[1])
