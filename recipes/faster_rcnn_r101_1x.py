"""Faster R-CNN, ResNet-101 C4, COCO, 1x. Reference: box AP 38.3.

python recipes/faster_rcnn_r101_1x.py --data /data/coco
"""

from kdet.config import R101, Recipe, c4, coco, detectron

recipe = Recipe(
    name="faster_rcnn_r101_1x",
    model=c4(R101),
    data=coco(pad_to=1),
    schedule=detectron("1x", rate=0.01, batch=8, rate_batch=8, warmup=4000),
    reference={"box_ap": 38.3},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
