"""Class names and category ids."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.errors import ConfigError


@dataclass(frozen=True)
class LabelMap:
    """Class names and their ids in the source data. Label k is entry k of both tuples.

    Labels are 0..K-1 everywhere in kdet. `ids` are only used when results are written to a file.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def __post_init__(self):
        if len(self.names) != len(self.ids) or len(set(self.ids)) != len(self.ids):
            raise ConfigError(
                f"a label map needs one distinct id per name, got {len(self.names)} names "
                f"and ids {self.ids}"
            )

    def __len__(self):
        return len(self.names)

    def label_of(self, source_id: int) -> int:
        """The label of a category id of the source data. Raises KeyError for an unknown id."""
        try:
            return self.ids.index(source_id)
        except ValueError:
            raise KeyError(f"category id {source_id} is not in the label map") from None


# the 80 classes of COCO 2017 with their category ids (10 of 1..90 are not used), and the 20 classes
# of VOC in alphabetical order
COCO_LABELS = LabelMap(
    tuple(
        "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"
        "stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,"
        "backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
        "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,"
        "knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,"
        "chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
        "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,"
        "hair drier,toothbrush".split(",")
    ),
    tuple(k for k in range(1, 91) if k not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)),
)
VOC_LABELS = LabelMap(
    tuple(
        "aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,motorbike,"
        "person,pottedplant,sheep,sofa,train,tvmonitor".split(",")
    ),
    tuple(range(1, 21)),
)
