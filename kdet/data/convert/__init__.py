"""COCO, VOC and YOLO annotations with their images -> TFRecord shards."""
