"""RetinaNet, ResNet-101 FPN, COCO, 1x. Reference: box AP 37.3.

python recipes/retinanet_r101_fpn_1x.py --data /data/coco
"""

from kdet.config import R101, Recipe, RetinaNet, coco_data, detectron

recipe = Recipe(
    name="retinanet_r101_fpn_1x",
    model=RetinaNet(R101),
    data=coco_data(pad_to=128),
    schedule=detectron("1x", base_lr=0.01),
    reference={"box_ap": 37.3},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
