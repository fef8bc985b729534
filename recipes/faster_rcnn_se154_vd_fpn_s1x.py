"""Faster R-CNN, SENet-154-vd FPN, COCO, s1x. Reference: box AP 42.9.

python recipes/faster_rcnn_se154_vd_fpn_s1x.py --data /data/coco
"""

from kdet.config import RCNN, SE154_VD, SENET_RULES, Optimizer, Recipe, coco, detectron

recipe = Recipe(
    name="faster_rcnn_se154_vd_fpn_s1x",
    model=RCNN(SE154_VD),
    data=coco(),
    schedule=detectron("s1x", rate=0.01, batch=8, rate_batch=8, warmup_factor=0.1),
    optimizer=Optimizer(rules=SENET_RULES),
    reference={"box_ap": 42.9},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
