"""Faster R-CNN, ResNet-50 C4, COCO, 2x. Reference: box AP 37.1.

python recipes/faster_rcnn_r50_2x.py --data /data/coco
"""

from kdet.config import R50, Recipe, c4_rcnn, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r50_2x",
    model=c4_rcnn(R50),
    data=coco_data(pad_to=1),
    schedule=detectron("2x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 37.1},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
