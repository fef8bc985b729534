"""YOLOv3, DarkNet-53, COCO, 270 epochs. Reference: box AP 38.9 at 608, 37.5 at 416, 34.8 at 320.

python recipes/yolov3_darknet.py --data /data/coco
"""

from kdet.config import YOLO_GROUPS, DarkNet, Optimizer, Recipe, YOLOv3, yolo_270e, yolo_data

recipe = Recipe(
    name="yolov3_darknet",
    model=YOLOv3(DarkNet()),
    data=yolo_data(),
    schedule=yolo_270e(),
    optimizer=Optimizer(weight_decay=5e-4, param_groups=YOLO_GROUPS),
    reference={"box_ap": 38.9, "box_ap_416": 37.5, "box_ap_320": 34.8},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
