"""Faster R-CNN, ResNet-101 FPN, COCO, 1x. Reference: box AP 38.7.

python recipes/faster_rcnn_r101_fpn_1x.py --data /data/coco
"""

from kdet.config import R101, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r101_fpn_1x",
    model=RCNN(R101),
    data=coco_data(),
    schedule=detectron("1x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 38.7},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
