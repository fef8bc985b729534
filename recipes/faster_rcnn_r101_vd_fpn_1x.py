"""Faster R-CNN, ResNet-101-vd FPN, COCO, 1x. Reference: box AP 40.5.

python recipes/faster_rcnn_r101_vd_fpn_1x.py --data /data/coco
"""

from kdet.config import R101_VD, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r101_vd_fpn_1x",
    model=RCNN(R101_VD),
    data=coco_data(),
    schedule=detectron("1x", base_lr=0.01, batch=8, base_batch=8),
    reference={"box_ap": 40.5},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
