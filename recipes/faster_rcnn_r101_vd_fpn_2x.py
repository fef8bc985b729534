"""Faster R-CNN, ResNet-101-vd FPN, COCO, 2x. Reference: box AP 40.6.

python recipes/faster_rcnn_r101_vd_fpn_2x.py --data /data/coco
"""

from kdet.config import R101_VD, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r101_vd_fpn_2x",
    model=RCNN(R101_VD),
    data=coco_data(),
    schedule=detectron("2x", base_lr=0.01, batch=8, base_batch=8),
    reference={"box_ap": 40.6},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
