"""What a detector gets wrong, as numbers, figures and one HTML page.

run             detects, measures, draws and writes the report
match, measure  detections and objects that belong together, and the numbers that follow
figures, worst  charts, and pictures of the images with the most errors
page            the HTML page
"""

from kdet.lazy import lazy_names

_PLACES = {
    "analyse": "kdet.analyse.run",
}
__all__ = sorted(_PLACES)
__getattr__, __dir__ = lazy_names("kdet.analyse", _PLACES)
