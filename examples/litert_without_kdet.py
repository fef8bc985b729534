"""Finds objects with a file of `kdet export MODEL x.tflite`, without kdet and TensorFlow.

pip install ai-edge-litert numpy pillow
python litert_without_kdet.py x.tflite photo.jpg 0.3
"""

import json
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

model, photo, threshold = sys.argv[1], sys.argv[2], float(sys.argv[3])
with open(f"{model}.json") as file:
    about = json.load(file)
detect = Interpreter(model, num_threads=4).get_signature_runner()

image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
width, height = image.size
wide, high = about["image"]["width"], about["image"]["height"]
inputs = {"original_size": [[height, width]]}
if about["resize"] == "scale":  # one factor for both sides, and black below or on the right
    factor = min(high / height, wide / width)
    inputs["resized_size"] = [[height * factor, width * factor]]
    image = image.resize((round(width * factor), round(height * factor)), Image.BILINEAR)
else:
    image = image.resize((wide, high), Image.BILINEAR)
pixels = np.zeros((1, high, wide, 3), np.float32)
pixels[0, : image.height, : image.width] = image

found = detect(image=pixels, **{n: np.array(v, np.float32) for n, v in inputs.items()})
for k in range(found["num_detections"][0]):
    box, score = found["boxes"][0, k].tolist(), float(found["scores"][0, k])
    if score >= threshold:
        name = about["names"][found["labels"][0, k]]
        print(json.dumps({"name": name, "score": score, "box": box}))
