"""SSD 300, MobileNet-V1, VOC 2007 and 2012, 28,000 steps. Reference: VOC07 mAP 73.2 (11 points).

python recipes/ssd_mobilenet_v1_voc.py --data /data/voc
"""

from kdet.config import SSD, SSD_GROUPS, Optimizer, Recipe, ssd_120e, ssd_data

recipe = Recipe(
    name="ssd_mobilenet_v1_voc",
    model=SSD(),
    data=ssd_data(),
    schedule=ssd_120e(),
    optimizer=Optimizer("rmsprop", momentum=0.0, weight_decay=5e-5, param_groups=SSD_GROUPS),
    reference={"voc_map": 73.2},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
