"""Faster R-CNN, ResNeXt-101-vd 64x4d FPN, COCO, 1x. Reference: box AP 42.2.

python recipes/faster_rcnn_x101_vd_64x4d_fpn_1x.py --data /data/coco
"""

from kdet.config import RCNN, X101_VD_64X4D, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_x101_vd_64x4d_fpn_1x",
    model=RCNN(X101_VD_64X4D),
    data=coco_data(),
    schedule=detectron("1x", base_lr=0.01, batch=8, base_batch=8, warmup_factor=0.1),
    reference={"box_ap": 42.2},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
