"""Mask R-CNN, ResNet-50 C4, COCO, 1x. Reference: box AP 36.5, mask AP 32.2.

python recipes/mask_rcnn_r50_1x.py --data /data/coco
"""

from kdet.config import R50, Recipe, c4_rcnn, coco_data, detectron

recipe = Recipe(
    name="mask_rcnn_r50_1x",
    model=c4_rcnn(R50, mask=True),
    data=coco_data(max_edges=96, pad_to=1),
    schedule=detectron("1x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 36.5, "mask_ap": 32.2},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
