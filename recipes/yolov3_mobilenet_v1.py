"""YOLOv3, MobileNet-V1, COCO, 270 epochs. Reference: box AP 29.3 at 608, 29.3 at 416, 27.1 at 320.

python recipes/yolov3_mobilenet_v1.py --data /data/coco
"""

from kdet.config import YOLO_GROUPS, MobileNet, Optimizer, Recipe, YOLOv3, yolo_270e, yolo_data

recipe = Recipe(
    name="yolov3_mobilenet_v1",
    model=YOLOv3(MobileNet()),
    data=yolo_data(),
    schedule=yolo_270e(),
    optimizer=Optimizer(weight_decay=5e-4, param_groups=YOLO_GROUPS),
    reference={"box_ap": 29.3, "box_ap_416": 29.3, "box_ap_320": 27.1},
)

if __name__ == "__main__":
    from kdet.train import main

    main(recipe)
