"""RetinaNet's network apart from its numbers, which `test_retinanet_golden.py` compares."""

import numpy as np

from kdet import models
from kdet.models.retinanet.network import RetinaHead


def test_only_the_towers_start_from_tower_init():
    head = RetinaHead(3, anchors_per_cell=2, width=64, depth=2, tower_init=0.05)
    head.build({"P3": (None, 8, 8, 64)})
    for tower in (head.class_tower, head.box_tower):
        found = [float(np.std(layer.kernel)) for layer in tower]
        np.testing.assert_allclose(found, [0.05, 0.05, 0.01], rtol=0.1)


def test_the_published_recipe_keeps_the_initial_values_of_the_paper():
    recipe = models.recipe("retinanet_r50_fpn_1x")
    assert recipe.model.tower_init == 0.01
    small = recipe.model.synthetic(recipe)
    assert small.model.tower_init > 0.01 and small.data.canvas_sizes() == ((96, 96),)
    assert small.schedule.steps == 240 and small.schedule.decay_kind == "cosine"
