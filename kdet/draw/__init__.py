"""Pictures of boxes, labels, scores and masks; NumPy and Pillow only."""

from kdet.draw.boxes import draw_boxes
from kdet.draw.colours import colour
from kdet.draw.sheets import contact_sheet, side_by_side

__all__ = ["colour", "contact_sheet", "draw_boxes", "side_by_side"]
