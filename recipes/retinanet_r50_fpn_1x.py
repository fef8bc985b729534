"""RetinaNet, ResNet-50 FPN, COCO, 1x. Reference: box AP 36.0.

python recipes/retinanet_r50_fpn_1x.py --data /data/coco
"""

from kdet.config import R50, Recipe, RetinaNet, coco_data, detectron

recipe = Recipe(
    name="retinanet_r50_fpn_1x",
    model=RetinaNet(R50),
    data=coco_data(pad_to=128),
    schedule=detectron("1x", base_lr=0.01),
    reference={"box_ap": 36.0},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
