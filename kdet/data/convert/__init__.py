"""COCO and VOC annotations with their images -> TFRecord shards."""
