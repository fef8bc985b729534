"""Mask R-CNN, SENet-154-vd FPN, COCO, s1x. Reference: box AP 44.0, mask AP 38.7.

python recipes/mask_rcnn_se154_vd_fpn_s1x.py --data /data/coco
"""

from kdet.config import RCNN, SE154_VD, SENET_RULES, Optimizer, Recipe, coco, detectron

recipe = Recipe(
    name="mask_rcnn_se154_vd_fpn_s1x",
    model=RCNN(SE154_VD, mask=True),
    data=coco(max_edges=96),
    schedule=detectron("s1x", rate=0.01, batch=8, rate_batch=8, warmup_factor=0.1),
    optimizer=Optimizer(rules=SENET_RULES),
    reference={"box_ap": 44.0, "mask_ap": 38.7},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
