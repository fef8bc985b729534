"""Predictions and truth -> COCO and VOC numbers.

`run` predicts and ties everything together, `coco` and `voc` are the metrics, `truth` reads the
annotations back from records and checks that truth and results belong together.
"""
