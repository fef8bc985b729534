"""Cascade R-CNN, ResNet-50 FPN, COCO, 1x. Reference: box AP 40.9.

python recipes/cascade_rcnn_r50_fpn_1x.py --data /data/coco
"""

from kdet.config import CASCADE_GROUPS, R50, RCNN, Optimizer, Recipe, coco_data, detectron

recipe = Recipe(
    name="cascade_rcnn_r50_fpn_1x",
    model=RCNN(R50, cascade=True),
    data=coco_data(),
    schedule=detectron("1x", base_lr=0.02),
    optimizer=Optimizer(param_groups=CASCADE_GROUPS),
    reference={"box_ap": 40.9},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
