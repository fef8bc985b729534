"""Mask R-CNN, ResNet-50 C4, COCO, 2x. Reference: box AP 38.2, mask AP 33.4.

python recipes/mask_rcnn_r50_2x.py --data /data/coco
"""

from kdet.config import R50, Recipe, c4_rcnn, coco_data, detectron

recipe = Recipe(
    name="mask_rcnn_r50_2x",
    model=c4_rcnn(R50, mask=True),
    data=coco_data(max_edges=96, pad_to=1),
    schedule=detectron("2x", base_lr=0.01, batch=8, base_batch=8, warmup_images=4000),
    reference={"box_ap": 38.2, "mask_ap": 33.4},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
