"""Faster R-CNN, ResNet-101 FPN, COCO, 2x. Reference: box AP 39.1.

python recipes/faster_rcnn_r101_fpn_2x.py --data /data/coco
"""

from kdet.config import R101, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r101_fpn_2x",
    model=RCNN(R101),
    data=coco_data(),
    schedule=detectron("2x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 39.1},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
