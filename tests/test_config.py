import json

import pytest

from kdet import config, models
from kdet.config import text as overrides
from kdet.errors import ConfigError

ROW = models.recipe("retinanet_r50_fpn_1x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schedule.bacth=8", "did you mean 'batch'?"),
        ("scedule.batch=8", "did you mean 'schedule'?"),
        ("schedule.batch", "key=value"),
        ("schedule.batch=0.5", "type int; got 0.5"),
        ("schedule.batch=True", "type int; got True"),
        ("schedule.batch=0", "at least 1; got 0"),
        ("schedule.batch=many", "type int; got 'many'"),
        ("schedule.base_lr=fast", "type float; got 'fast'"),
        ("schedule=3", "is a group"),
        ("schedule.batch.size=3", "plain value"),
        ("model.backbone.norm=layer", "must be one of 'frozen', 'batch'; got 'layer'"),
        ("model.clip_to=paper", "must be one of"),
        ("model.backbone.depth=51", "must be one of"),
        ("data.mean=(1, 2)", "tuple"),
        ("data.canvases=((1, 2, 3),)", "tuple"),
        ("data.colour=red", "it has dataset, short_side"),
        ("=3", "no field ''"),
        ("name=3", "type str; got 3"),
    ],
)
def test_bad_overrides_say_what_is_wrong(text, said):
    with pytest.raises(ConfigError) as error:
        overrides.override(ROW, [text])
    assert said in str(error.value) and "\n" not in str(error.value)


def test_good_overrides():
    changed = overrides.override(
        ROW,
        [
            "schedule.batch=4",
            "data.flip=0",
            "data.canvases=[[128, 256], [256, 128]]",
            "model.backbone.norm=batch",
        ],
    )
    assert changed.schedule.batch == 4 and changed.data.flip == 0.0
    assert changed.data.canvases == ((128, 256), (256, 128))
    assert changed.model.backbone.norm == "batch"
    assert ROW.schedule.batch == 16


@pytest.mark.parametrize("name", models.names())
def test_recipes_survive_json(name):
    row = models.recipe(name)
    for value in (row, row.model.synthetic(row)):
        assert overrides.from_dict(json.loads(overrides.to_json(value))) == value


@pytest.mark.parametrize("name", models.names())
def test_recipes_are_named_after_their_file_and_know_their_number(name):
    row = models.recipe(name)
    assert row.name == name
    assert row.reference and all(0 < value < 100 for value in row.reference.values())


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {},
        {"type": "Detector"},
        {"type": "Data", "colour": 3},
        {"type": "Data", "flip": "x"},
    ],
)
def test_stored_configs_are_checked(stored):
    with pytest.raises(ConfigError):
        overrides.from_dict(stored)


def test_canvases_cover_landscape_and_portrait():
    sizes = config.coco_data(pad_to=128).canvas_sizes()
    assert sizes == ((896, 1152), (1152, 896), (896, 1408), (1408, 896))
    assert config.coco_data().canvas_sizes()[0] == (800, 1088)
    assert config.Data(short_side=128, long_side=128, pad_to=128).canvas_sizes() == ((128, 128),)


def test_the_1x_schedule_is_the_published_one():
    schedule = ROW.schedule
    assert (schedule.steps, schedule.batch) == (90_000, 16)
    assert [images // 16 for images in schedule.milestones] == [60_000, 80_000]
    assert schedule.warmup_images // 16 == 500


def test_label_map():
    labels = config.LabelMap(("cat", "dog"), (17, 18))
    assert labels.label_of(18) == 1
    with pytest.raises(KeyError, match="19"):
        labels.label_of(19)
    with pytest.raises(ConfigError):
        config.LabelMap(("cat", "dog"), (17, 17))


def test_fields_that_must_agree_change_together():
    row, decay = models.recipe("ssd_mobilenet_v1_voc"), "schedule.milestones=10,20"
    changed = overrides.override(row, [decay, "schedule.milestone_factors=0.5,0.1"]).schedule
    assert (changed.milestones, changed.milestone_factors) == ((10, 20), (0.5, 0.1))
    with pytest.raises(ConfigError, match="one number per milestone"):
        overrides.override(row, [decay])
