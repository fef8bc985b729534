"""Detection in images of any kind, in large images by tiles, and in videos."""

from kdet.predict.images import SUFFIXES, check_file, listed, load_image
from kdet.predict.run import detect, predict

__all__ = ["SUFFIXES", "check_file", "detect", "listed", "load_image", "predict"]
