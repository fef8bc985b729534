"""Faster R-CNN, ResNet-50-vd C4, COCO, 1x. Reference: box AP 36.4.

python recipes/faster_rcnn_r50_vd_1x.py --data /data/coco
"""

from kdet.config import R50_VD, Recipe, c4_rcnn, coco_data, detectron

recipe = Recipe(
    name="faster_rcnn_r50_vd_1x",
    model=c4_rcnn(R50_VD),
    data=coco_data(pad_to=1),
    schedule=detectron("1x", base_lr=0.01, batch=8, base_batch=8, warmup_factor=0.1),
    reference={"box_ap": 36.4},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
