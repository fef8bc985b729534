"""Faster R-CNN, ResNet-50-vd FPN, COCO, 2x. Reference: box AP 38.9.

python recipes/faster_rcnn_r50_vd_fpn_2x.py --data /data/coco
"""

from kdet.config import R50_VD, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r50_vd_fpn_2x",
    model=RCNN(R50_VD),
    data=coco_data(),
    schedule=detectron("2x", base_lr=0.02),
    reference={"box_ap": 38.9},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
