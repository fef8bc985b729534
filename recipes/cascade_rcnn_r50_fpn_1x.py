"""Cascade R-CNN, ResNet-50 FPN, COCO, 1x. Reference: box AP 40.9.

python recipes/cascade_rcnn_r50_fpn_1x.py --data /data/coco
"""

from kdet.config import CASCADE_RULES, R50, RCNN, Optimizer, Recipe, coco, detectron

recipe = Recipe(
    name="cascade_rcnn_r50_fpn_1x",
    model=RCNN(R50, cascade=True),
    data=coco(),
    schedule=detectron("1x", rate=0.02),
    optimizer=Optimizer(rules=CASCADE_RULES),
    reference={"box_ap": 40.9},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
