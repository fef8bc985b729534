"""Mask R-CNN, ResNet-50 FPN, COCO, 1x. Reference: box AP 37.9, mask AP 34.2.

python recipes/mask_rcnn_r50_fpn_1x.py --data /data/coco
"""

from kdet.config import R50, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="mask_rcnn_r50_fpn_1x",
    model=RCNN(R50, mask=True),
    data=coco_data(max_edges=96),
    schedule=detectron("1x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 37.9, "mask_ap": 34.2},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
