import numpy as np

from kdet.ops import boxes


def test_iou_of_hand_counted_boxes():
    a = np.array([[0, 0, 4, 4], [0, 0, 0, 0]], "float32")
    b = np.array([[2, 2, 6, 6], [0, 0, 4, 2], [4, 0, 8, 4], [0, 0, 0, 0]], "float32")
    expected = [[4 / 28, 8 / 16, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(boxes.iou(a, b), expected, rtol=1e-6)


def test_min_overlap_drops_what_inclusive_corners_call_disjoint():
    a = np.array([[0, 0, 4, 4]], "float32")
    b = np.array([[3.5, 0, 8, 4], [3, 0, 8, 4]], "float32")
    plain, reference = boxes.iou(a, b), boxes.iou(a, b, min_overlap=1.0)
    assert plain[0, 0] > 0 and reference[0, 0] == 0
    assert reference[0, 1] == plain[0, 1] > 0


def test_encode_by_hand_and_back():
    anchor = np.array([[10, 20, 30, 60]], "float32")
    box = np.array([[15, 20, 35, 100]], "float32")
    deltas = boxes.encode(box, anchor, (0.1, 0.1, 0.2, 0.2))
    np.testing.assert_allclose(deltas, [[2.5, 5.0, 0.0, np.log(2) / 0.2]], rtol=1e-6)
    np.testing.assert_allclose(boxes.decode(deltas, anchor, (0.1, 0.1, 0.2, 0.2)), box, rtol=1e-6)


def test_decode_of_huge_deltas_is_finite():
    anchor = np.array([[10, 20, 30, 60]], "float32")
    assert np.isfinite(boxes.decode(np.full((1, 4), 1e4, "float32"), anchor)).all()


def test_rescale_keeps_the_last_pixel_inclusive():
    box = np.array([[[10, 20, 31, 41]]], "float32")
    scaled = boxes.rescale(box, np.array([[2, 0.5]], "float32"))
    np.testing.assert_allclose(scaled, [[[5, 40, 16, 81]]])
    back = boxes.rescale(scaled, np.array([[0.5, 2]], "float32"))
    np.testing.assert_allclose(back, box)


def test_clip_leaves_at_least_a_pixel():
    box = np.array([[[-5, -5, 3, 3], [50, 60, 70, 80], [2, 2, 90, 90]]], "float32")
    clipped = boxes.clip(box, np.array([[20, 40]], "float32"))
    np.testing.assert_allclose(clipped, [[[0, 0, 3, 3], [39, 19, 40, 20], [2, 2, 40, 20]]])


def test_upright_flattens_inverted_boxes():
    box = np.array([[3, 5, 2, 9], [1, 2, 3, 4]], "float32")
    np.testing.assert_array_equal(boxes.upright(box), [[3, 5, 3, 9], [1, 2, 3, 4]])
