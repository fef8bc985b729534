"""Mask R-CNN, ResNet-101 FPN, COCO, 1x. Reference: box AP 39.5, mask AP 35.2.

python recipes/mask_rcnn_r101_fpn_1x.py --data /data/coco
"""

from kdet.config import R101, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="mask_rcnn_r101_fpn_1x",
    model=RCNN(R101, mask=True),
    data=coco_data(max_edges=96),
    schedule=detectron("1x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 39.5, "mask_ap": 35.2},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
