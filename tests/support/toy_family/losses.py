"""Which cell belongs to which object, and the losses."""

from keras import ops

from kdet.ops.matching import BACKGROUND
from toy_family.network import STRIDE


def targets(config, batch):
    """Labels and sizes of every cell; the cell at an object's centre belongs to that object.

    Args:
        config: `CentreNet`.
        batch: "image" (B, H, W, 3) for its size, "boxes" (B, M, 4) resized pixels, "labels" (B, M),
            "valid" (B, M).
    Returns:
        {"labels": (B, N) int32 with -1 background, "sizes": (B, N, 2) float32}, N cells row by
        row, and {"objects": scalar float32}.
    """
    rows, columns = (-(-side // STRIDE) for side in batch["image"].shape[1:3])
    low, high = batch["boxes"][..., :2], batch["boxes"][..., 2:]
    place = ops.cast((low + high) / 2 // STRIDE, "int32")
    cell = place[..., 1] * columns + place[..., 0]
    own = ops.arange(rows * columns, dtype="int32")[None, :, None] == cell[:, None, :]
    own = ops.logical_and(own, batch["valid"][:, None, :])
    index, found = ops.argmax(own, axis=2), ops.any(own, axis=2)
    labels = ops.take_along_axis(ops.cast(batch["labels"], "int32"), index, axis=1)
    sizes = ops.log(ops.maximum(high - low, 1.0) / STRIDE)
    wanted = {
        "labels": ops.where(found, labels, BACKGROUND),
        "sizes": ops.take_along_axis(sizes, index[..., None], axis=1),
    }
    return wanted, {"objects": ops.sum(ops.cast(found, "float32"))}


def losses(config, outputs, targets, normalizers):
    """{"class": binary cross entropy, "size": absolute error}, both over the number of objects.

    Args:
        config: `CentreNet`.
        outputs: of the network.
        targets, normalizers: of `targets`; normalizers summed over replicas.
    """
    labels = targets["labels"]
    logits = ops.reshape(outputs["logits"], (*labels.shape, config.num_classes))
    sizes = ops.reshape(outputs["sizes"], (*labels.shape, 2))
    logits, sizes = ops.cast(logits, "float32"), ops.cast(sizes, "float32")
    own = ops.one_hot(labels, config.num_classes)
    error = ops.sum(ops.abs(sizes - targets["sizes"]), axis=-1)
    count = ops.maximum(normalizers["objects"], 1.0)
    return {
        "class": ops.sum(ops.softplus(logits) - own * logits) / count,
        "size": ops.sum(ops.where(labels >= 0, error, 0.0)) / count,
    }
