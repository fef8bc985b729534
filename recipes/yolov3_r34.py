"""YOLOv3, ResNet-34, COCO, 270 epochs. Reference: box AP 36.2 at 608, 34.3 at 416, 31.4 at 320.

python recipes/yolov3_r34.py --data /data/coco
"""

from kdet.config import YOLO_GROUPS, Optimizer, Recipe, ResNet, YOLOv3, yolo_270e, yolo_data

recipe = Recipe(
    name="yolov3_r34",
    model=YOLOv3(ResNet(34, norm="batch", freeze_at=0)),
    data=yolo_data(),
    schedule=yolo_270e(),
    optimizer=Optimizer(weight_decay=5e-4, param_groups=YOLO_GROUPS),
    reference={"box_ap": 36.2, "box_ap_416": 34.3, "box_ap_320": 31.4},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
