"""Faster R-CNN, ResNet-50 FPN, COCO, 1x. Reference: box AP 37.2.

python recipes/faster_rcnn_r50_fpn_1x.py --data /data/coco
"""

from kdet.config import R50, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r50_fpn_1x",
    model=RCNN(R50),
    data=coco_data(),
    schedule=detectron("1x", base_lr=0.02),
    reference={"box_ap": 37.2},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
