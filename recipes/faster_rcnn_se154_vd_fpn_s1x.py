"""Faster R-CNN, SENet-154-vd FPN, COCO, s1x. Reference: box AP 42.9.

python recipes/faster_rcnn_se154_vd_fpn_s1x.py --data /data/coco
"""

from kdet.config import RCNN, SE154_VD, SENET_GROUPS, Optimizer, Recipe, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_se154_vd_fpn_s1x",
    model=RCNN(SE154_VD),
    data=coco_data(),
    schedule=detectron("s1x", base_lr=0.01, batch=8, base_batch=8, warmup_factor=0.1),
    optimizer=Optimizer(param_groups=SENET_GROUPS),
    reference={"box_ap": 42.9},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
