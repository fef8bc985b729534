"""2 of 6: image -> raw outputs -> detections. `build(config, ...) -> Detector`."""

from kdet.models.detector import Detector, build

__all__ = ["Detector", "build"]
