"""What every detector can do, whatever runs it: detect, predict and evaluate."""

from __future__ import annotations


class Predictor:
    """Base of the classes of detectors.

    Subclasses are called with a prepared batch (see `kdet.Detector`) and have these attributes.

    Attributes:
        config: a model config of `kdet.config`.
        data: `kdet.config.Data`, the preparation of images.
        labels: `kdet.config.LabelMap`.
        draws_masks: whether there are masks among the outputs.
    """

    def detect(self, images, threshold=0.05, batch=None, tiles=None, overlap=0.2, whole=True):
        """Finds objects in images of any kind; see `kdet.predict.detect`.

        Args:
            images: a path, a folder, a PIL image, an array (uint8, (H, W, 3) RGB, or (H, W) or
                (H, W, 1) grey), or a list of these.
            threshold: detections with a lower score are left out.
            batch: images or tiles per call; None: 1, or 4 with tiles. It changes no result.
            tiles: True cuts large images into overlapping tiles of the size that the detector does
                not reduce. A number of pixels or a pair (height, width) is another size.
            overlap: the least share of a tile that its neighbour sees, too.
            whole: whether to look at the whole image as well where it is cut into tiles.
        Returns:
            list of `kdet.Detections`, one per image.
        """
        from kdet.predict import detect

        return detect(self, images, threshold, batch, tiles, overlap, whole)

    def predict(self, images, batch=8) -> dict:
        """Detections of image arrays, as arrays and in batches; see `kdet.predict.predict`.

        Args:
            images: (n, H, W, 3) uint8 RGB, or a sequence of (H, W, 3) uint8 arrays of any sizes.
            batch: images per call.
        Returns:
            {"boxes": (n, N, 4), "scores": (n, N), "labels": (n, N), "valid": (n, N)[, "masks"]},
            NumPy arrays; boxes in pixels of each image.
        """
        from kdet.predict import predict

        return predict(self, images, batch)

    def evaluate(self, data, split="val", metric=None, batch=1) -> dict:
        """The metrics on a converted data set; see `kdet.evaluate.run.evaluate`.

        Args:
            data: folder of a data set, or the parent of its splits.
            split: name of the split.
            metric: "coco" or "voc"; None uses "voc" if `data.dataset` is "voc", else "coco".
            batch: images per call.
        Returns:
            name -> number in 0..1, and "per_class".
        """
        from kdet.data.records import Records
        from kdet.evaluate.run import evaluate

        metric = metric or self.data.metric
        return evaluate(self, Records.open(data, split), self.data, batch, metric)
