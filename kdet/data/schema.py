"""The formats of a record, an example and a batch.

Boxes are `xyxy`, float32, pixels, half-open (width = x2 - x1). Labels are 0..K-1. Sizes are (h, w).

record (one tf.train.Example in a shard)
    image/encoded   bytes     JPEG or PNG, RGB or grey, upright (EXIF applied)
    image/id        int64     id in the source data, or a running number if there is no id
    image/name      bytes     file name in the source data
    image/height, image/width  int64
    object/id       int64[n]  annotation ids
    object/label    int64[n]  0..K-1
    object/bbox     bytes     float64[n, 4] little-endian, x y w h exactly as annotated
    object/area     bytes     float64[n] little-endian, as annotated
    object/crowd, object/difficult  int64[n]  0 or 1
    polygon/parts   int64[n]  number of polygons per object, may be 0
    polygon/sizes   int64[p]  number of points per polygon
    polygon/points  float[2q] x y, ...
    rle/runs        int64[n]  number of run lengths per object, may be 0
    rle/lengths     int64[r]  uncompressed COCO run lengths (column-major, background first)

example (one decoded record)
    image           (H, W, 3) uint8 RGB
    image_id        () int64
    original_size   (2,) int32 h, w
    boxes           (n, 4) float32, pixels of the original image, clipped to it
    labels          (n,) int32
    crowd, difficult  (n,) bool
    [mask_edges     (n, E, 4) float32, mask_parts (n, E) int32, for models with masks: outlines in
                    pixels of the original image, -1 in unused places; see `kdet.data.outlines`]

batch (the input of a model; shapes are static for each canvas)
    image           (B, H, W, 3) float32, normalised, zero-padded right and below; or uint8 RGB,
                    which `kdet.data.transforms.normalise` normalises (training, augmented)
    resized_size    (B, 2) float32 h, w before padding; scale * original, not rounded
    original_size   (B, 2) float32 h, w
    image_id        (B,) int64
    repeated        (B,) bool, True for rows that only complete a batch   (evaluation)
    boxes           (B, M, 4) float32, pixels of the resized image        (training)
    labels          (B, M) int32, 0 in padding                            (training)
    valid           (B, M) bool, False in padding                         (training)
    [scores         (B, M) float32, mixup's weight of the box, or 1]      (training, mixup)
    [mask_edges     (B, M, E, 4) float32, pixels of the original image    (training, mask heads)
    mask_parts      (B, M, E) int32, -1 in unused places]                 (training, mask heads)
    sample_seed     (B,) int32 from (seed, step, position), for sampling in the step  (training)
"""

VERSION = 1
