"""Mask R-CNN, ResNet-50-vd FPN, COCO, 2x. Reference: box AP 39.8, mask AP 35.4.

python recipes/mask_rcnn_r50_vd_fpn_2x.py --data /data/coco
"""

from kdet.config import R50_VD, RCNN, Recipe, coco_data, detectron

recipe = Recipe(
    name="mask_rcnn_r50_vd_fpn_2x",
    model=RCNN(R50_VD, mask=True),
    data=coco_data(max_edges=96),
    schedule=detectron("2x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 39.8, "mask_ap": 35.4},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
