"""Hand-made objects and detections of two animals, whose names need escaping in HTML."""

NAMES = ("<cat> & co", "dog")
SIZES = {11: (100, 120), 12: (80, 100), 13: (60, 60)}  # id -> (h, w)


def truth_with(objects, images=(11, 12, 13)):
    """COCO json form of (image, label, (x, y, w, h), crowd) tuples."""
    return {
        "images": [
            {"id": i, "file_name": f"<{i}>.png", "height": SIZES[i][0], "width": SIZES[i][1]}
            for i in images
        ],
        "categories": [{"id": i, "name": n} for i, n in zip((5, 9), NAMES)],
        "annotations": [
            {
                "id": 70 + k,
                "image_id": image,
                "category_id": (5, 9)[label],
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": crowd,
            }
            for k, (image, label, box, crowd) in enumerate(objects)
        ],
    }


def rows_with(detections):
    """COCO result rows of (image, label, (x, y, w, h), score) tuples."""
    return [
        {"image_id": i, "category_id": (5, 9)[label], "bbox": list(box), "score": score}
        for i, label, box, score in detections
    ]


CAT, DOG = 0, 1
OBJECTS = (
    (11, CAT, (0, 0, 10, 10), 0),
    (11, DOG, (20, 0, 10, 10), 0),
    (11, CAT, (40, 0, 10, 10), 0),
    (11, DOG, (60, 0, 10, 10), 0),
    (11, DOG, (0, 50, 40, 40), 1),
)
DETECTIONS = (  # in image 11; one of each kind
    (11, DOG, (0, 50, 10, 10), 0.3),  # on the crowd: ignored
    (11, DOG, (80, 80, 10, 10), 0.4),  # background
    (11, CAT, (64, 0, 10, 10), 0.5),  # IoU 60/140 with a dog: both
    (11, CAT, (44, 0, 10, 10), 0.6),  # IoU 60/140 with a cat: localisation
    (11, CAT, (20, 0, 10, 10), 0.7),  # on a dog: class
    (11, CAT, (0, 0, 10, 9), 0.8),  # IoU 0.9 with the cat that is found already: duplicate
    (11, CAT, (0, 0, 10, 10), 0.9),  # correct
)
