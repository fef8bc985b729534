"""Faster R-CNN, ResNet-101 C4, COCO, 1x. Reference: box AP 38.3.

python recipes/faster_rcnn_r101_1x.py --data /data/coco
"""

from kdet.config import R101, Recipe, c4_rcnn, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r101_1x",
    model=c4_rcnn(R101),
    data=coco_data(pad_to=1),
    schedule=detectron("1x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 38.3},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
