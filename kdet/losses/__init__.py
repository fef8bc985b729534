"""3 of 6: raw outputs + truth -> {"name": scalar}.

Two steps, so that normalisers can be summed over replicas in between: `targets` needs no network,
`losses` no truth. Losses are local sums divided by global counts; their sum over replicas is the
loss of the whole batch.
"""

from kdet import config as configs
from kdet.losses import rcnn, retinanet, ssd, yolov3

FAMILIES = {
    configs.RetinaNet: retinanet,
    configs.RCNN: rcnn,
    configs.SSD: ssd,
    configs.YOLOv3: yolov3,
}


def targets(config, batch):
    """What the network should say about a batch.

    Args:
        config: a model config of `kdet.config`.
        batch: a training batch of `kdet.data.schema`.
    Returns:
        targets: nested dict of tensors, for `losses`.
        counts: {"name": scalar float32}, local; to be summed over replicas.
    """
    return FAMILIES[type(config)].targets(config, batch)


def losses(config, raw, targets, counts):
    """Named loss terms of a batch.

    Args:
        config: a model config of `kdet.config`.
        raw: raw outputs of the network, a nested dict.
        targets: of the function of that name.
        counts: its counts, summed over replicas.
    Returns:
        {"name": scalar float32}; the total loss is their plain sum.
    """
    return FAMILIES[type(config)].losses(config, raw, targets, counts)
