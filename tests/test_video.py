"""Videos: the copy, its times and its rows; what is damaged; a stop with Ctrl+C."""

import importlib.util
import json
import os
import signal
import sys
from fractions import Fraction

import numpy as np
import pytest
from eye import SCALED, Eye, scene

from kdet import cli
from kdet.detections import Detections
from kdet.errors import ConfigError
from kdet.models import loading
from kdet.predict import detect
from kdet.predict.video import import_av

with_av = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs PyAV")
SIZE = 48, 64  # height, width


class Watching(Eye):
    """Knows the block of the frames by its brightness, because videos change values."""

    data = type(SCALED)(short_side=48, long_side=64, pad_to=16, mean=SCALED.mean, std=SCALED.std)
    stop_at = None

    def __call__(self, inputs):
        inputs = {**inputs, "image": np.where(np.asarray(inputs["image"]) > 128, 1, 0)}
        return super().__call__(inputs)

    def detect(self, images, **options):
        if len(self.batches) == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return detect(self, images, **options)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs `kdet detect` in tmp_path; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    eye = Watching()
    monkeypatch.setattr(loading, "load_source", lambda source: eye)

    def run(*arguments, stop_at=None):
        eye.stop_at = stop_at
        eye.batches.clear()
        code = cli.main(["detect", "yolov3_r34", *map(str, arguments), "--out", "out"])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines(), eye

    return run


def block(k, size=SIZE):
    """Frame number k: a white block that moves by 3 pixels."""
    return 255 * (scene(size, [(5 + 3 * k, 10, 21 + 3 * k, 26)]) > 0).astype(np.uint8)


def film(path, frames=8, size=SIZE, milliseconds=None, codec="libx264", format="yuv444p"):
    import av

    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25, options={"crf": "5"})
        (stream.height, stream.width), stream.pix_fmt = size, format
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(block(k, size))
            if milliseconds:
                frame.time_base = stream.codec_context.time_base = Fraction(1, 1000)
                frame.pts = milliseconds[k]
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def watch(path):
    """Frame rate, times and pixels of a video."""
    import av

    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        frames = list(source.decode(stream))
        rate = float(stream.average_rate)
        return rate, [f.time for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def rows_of(path):
    return json.loads(path.read_text())["frames"]


@with_av
@pytest.mark.parametrize("size", [SIZE, (47, 63)])
def test_the_copy_has_the_size_the_rate_and_the_boxes(size, command, tmp_path, monkeypatch):
    film(tmp_path / "clip.mp4", size=size)
    draw, drawn = Detections.draw, []
    spy = lambda *args, **options: drawn.append(draw(*args, **options)) or drawn[-1]  # noqa: E731
    monkeypatch.setattr(Detections, "draw", spy)
    code, said, errors, _ = command("clip.mp4")
    assert {picture.size for picture in drawn} == {size[::-1]}  # not enlarged and reduced again
    assert code == 0 and not errors
    assert said == ["8 frames of clip.mp4 in out/clip.mp4 and clip.json"]
    rate, times, pictures = watch(tmp_path / "out" / "clip.mp4")
    assert rate == 25 and times == pytest.approx([k / 25 for k in range(8)])
    assert {picture.shape for picture in pictures} == {(*size, 3)}
    assert sorted(os.listdir("out")) == ["clip.json", "clip.mp4"]
    table = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert table["video"] == "clip.mp4" and table["fps"] == 25
    for k, row in enumerate(table["frames"]):
        assert (row["frame"], row["height"], row["width"]) == (k, *size)
        (found,) = row["detections"]
        np.testing.assert_allclose(found["box"], [5 + 3 * k, 10, 21 + 3 * k, 26], atol=1)
    # the outline is drawn: the block was white on black, and now has a coloured border
    colours = np.ptp(pictures[4].astype(int), axis=2)
    assert colours[10:26, 16:19].max() > 40 and colours[32:, :10].max() < 20


@with_av
def test_frames_keep_their_times(command, tmp_path):
    """A recording with a variable rate; every third frame of it, and batches."""
    milliseconds = [0, 40, 80, 300, 340, 900, 1500, 1501]
    film(tmp_path / "a.mkv", milliseconds=milliseconds)
    assert command("a.mkv", "--batch=3")[3].batches == [(3, *SIZE), (3, *SIZE), (2, *SIZE)]
    assert watch(tmp_path / "out/a.mp4")[1] == pytest.approx([t / 1000 for t in milliseconds])
    whole = rows_of(tmp_path / "out/a.json")
    assert [row["time"] for row in whole] == [t / 1000 for t in milliseconds]
    command("a.mkv", "--every=3")
    assert watch(tmp_path / "out/a.mp4")[1] == pytest.approx([0, 0.3, 1.5])
    assert rows_of(tmp_path / "out/a.json") == whole[::3]


@with_av
def test_a_turned_video_is_shown_upright(command, tmp_path):
    """A phone held upright writes landscape frames, and a matrix that turns them clockwise."""
    data = bytearray(film(tmp_path / "a.mp4").read_bytes())
    begin = data.index(b"tkhd") + 4 + 40
    turn = [0, 1 << 16, 0, -1 << 16, 0, 0, SIZE[0] << 16, 0, 1 << 30]
    data[begin : begin + 36] = np.array(turn, ">i4").tobytes()
    (tmp_path / "a.mp4").write_bytes(data)
    command("a.mp4")
    (row, *_), pictures = rows_of(tmp_path / "out/a.json"), watch(tmp_path / "out/a.mp4")[2]
    assert (row["height"], row["width"]) == (64, 48) and pictures[0].shape == (64, 48, 3)
    # (x, y) of the stored frame becomes (48 - y, x)
    np.testing.assert_allclose(row["detections"][0]["box"], [48 - 26, 5, 48 - 10, 21], atol=1)


@with_av
def test_what_is_damaged_is_one_line_and_stops_nothing(command, tmp_path):
    good = film(tmp_path / "good.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mov").touch()
    import av

    with av.open(str(tmp_path / "good.mp4")) as source:
        packets = [p for p in source.demux(source.streams.video[0]) if p.size]
        place, size = packets[5].pos, packets[5].size
    damaged = good[:place] + bytes(size) + good[place + size :]
    (tmp_path / "packet.mp4").write_bytes(damaged)
    names = ("half.mp4", "text.mp4", "empty.mov", "none.avi", "packet.mp4", "good.mp4")
    code, said, errors, _ = command(*names)
    assert code == 1 and len(said) == 2 and said[1].startswith("8 frames of good.mp4")
    assert said[0].startswith("7 frames of packet.mp4")
    assert sorted(os.listdir("out")) == ["good.json", "good.mp4", "packet.json", "packet.mp4"]
    assert sorted(errors) == [
        "kdet detect: empty.mov: expected a video, got an empty file",
        "kdet detect: half.mp4: not a readable video: Invalid data found when processing input",
        "kdet detect: none.avi: no such video",
        "kdet detect: packet.mp4: 1 damaged packets were left out",
        "kdet detect: text.mp4: not a readable video: Invalid data found when processing input",
    ]


@with_av
def test_ctrl_c_leaves_a_playable_file(command, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        film(tmp_path / name)
    code, said, errors, _ = command("a.mp4", "b.mp4", stop_at=3)
    assert code == 130 and errors == ["kdet detect: a.mp4: stopped after 4 frames"]
    assert sorted(os.listdir("out")) == ["a.json", "a.mp4"]
    assert len(watch(tmp_path / "out/a.mp4")[1]) == len(rows_of(tmp_path / "out/a.json")) == 4


@with_av
def test_an_error_leaves_nothing_half_written(command, tmp_path, monkeypatch):
    film(tmp_path / "a.mp4")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4").write_text("of yesterday")
    monkeypatch.setattr(Watching, "detect", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command("a.mp4")
    assert os.listdir("out") == ["a.mp4"]
    assert (tmp_path / "out" / "a.mp4").read_text() == "of yesterday"


@with_av
def test_videos_and_images_together(command, tmp_path):
    """No copy replaces a video, and no rows of a video those of the images."""
    from PIL import Image

    (tmp_path / "out").mkdir()
    for name in ("out/a.mp4", "a.mkv", "detections.mp4"):
        film(tmp_path / name, frames=2)
    before = (tmp_path / "out/a.mp4").read_bytes()
    Image.fromarray(block(0)).save(tmp_path / "a.png")
    assert command("out/a.mp4", "a.mkv", "detections.mp4", "a.png", "--tiles=40")[0] == 0
    assert (tmp_path / "out/a.mp4").read_bytes() == before
    assert list(json.loads((tmp_path / "out/detections.json").read_text())) == ["a.png"]
    assert sorted(os.listdir("out")) == [
        *("a.mp4", "a.png", "a_2.json", "a_2.mp4", "a_3.json", "a_3.mp4"),
        *("detections.json", "detections_2.json", "detections_2.mp4"),
    ]


def test_without_pyav_one_line_tells_what_to_install(monkeypatch, tmp_path, capsys):
    (tmp_path / "a.mp4").write_text("x")
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(loading, "load_source", None)
    with pytest.raises(ConfigError):
        import_av()
    assert cli.main(["detect", "yolov3_r34", str(tmp_path / "a.mp4")]) == 1
    said = 'kdet detect: videos need PyAV; install it with pip install "kdet[video]"\n'
    assert capsys.readouterr().err == said
