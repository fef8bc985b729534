"""Faster R-CNN, ResNet-50 FPN, COCO, 2x. Reference: box AP 37.7.

python recipes/faster_rcnn_r50_fpn_2x.py --data /data/coco
"""

from kdet.config import R50, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r50_fpn_2x",
    model=RCNN(R50),
    data=coco_data(),
    schedule=detectron("2x", base_lr=0.02),
    reference={"box_ap": 37.7},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
