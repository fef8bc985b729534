"""Videos: an annotated copy, and the detections of every frame. PyAV is needed here only."""

from __future__ import annotations

import itertools
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from kdet.errors import ConfigError, DataError
from kdet.files import temporary_path
from kdet.predict.images import check_file, reason

_RATE = 25  # frames per second of a video that does not say it


def import_av():
    """The package PyAV.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import av
    except ImportError:
        raise ConfigError('videos need PyAV; install it with pip install "kdet[video]"') from None
    av.logging.set_level(None)  # what matters arrives as an exception
    return av


def detect_video(detector, path, out, threshold=0.3, every=1, stop=lambda: False, **options):
    """Writes a copy of a video with what a detector finds, and a JSON file of the same name.

    The copy is an H.264 file (.mp4) without sound. Its frames have the size and the times of the
    original ones, upright. The JSON file holds "video", "fps" and "frames": for each frame its
    number, its time in seconds, its width and height, and its detections, as `Detections.rows`
    gives them. Both files get their names when they are complete.

    Args:
        detector: `kdet.Detector`.
        path: the video.
        out: the `.mp4` file to write; its folder must exist.
        threshold: lowest score that is drawn. The JSON file has all detections.
        every: only each `every`-th frame is looked at and written, at its own time.
        stop: called before every call of the detector; True ends the video there.
        options: `batch` (frames or tiles per call), `tiles`, ... of `kdet.predict.detect`.
    Returns:
        frames: how many were written; with 0, there are no files.
        damaged: how many packets of the file could not be decoded and were left out.
    Raises:
        DataError: no video, or none of its frames can be decoded, or the copy cannot be written.
        ConfigError: PyAV is not installed.
    """
    av, out, damaged = import_av(), Path(out), []
    table = out.with_suffix(".json")
    check_file(path)
    with temporary_path(out) as copy, temporary_path(table) as rows, _opened(av, path) as source:
        stream = source.streams.video[0]
        frames = _progress(_frames(av, stream, every, damaged), stream, path, every)
        found = _found(detector, frames, stop, options)
        try:
            with av.open(str(copy), "w", format="mp4") as target, open(rows, "w") as file:
                head = json.dumps({"video": Path(path).name, "fps": float(_rate(stream))})
                file.write(f'{head[:-1]}, "frames": [')
                count = _write(av, found, stream, every, threshold, target, file)
                file.write("\n]}\n")
        except av.error.FFmpegError as error:
            raise DataError(f"{out}: cannot be written: {reason(error)}") from None
        if count:
            os.replace(rows, table)
            os.replace(copy, out)
    if not count and not stop():
        raise DataError(f"{path}: expected a video, but no frame of it can be decoded")
    return count, len(damaged)


def _opened(av, path):
    try:
        source = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable video: {reason(error)}") from None
    if not source.streams.video:
        source.close()
        raise DataError(f"{path}: expected a video, but it has no pictures")
    source.streams.video[0].thread_type = "AUTO"
    return source


def _frames(av, stream, every, damaged):
    """(number, time, upright pixels) of each frame; adds what cannot be decoded to `damaged`."""
    packets, numbers = stream.container.demux(stream), itertools.count()
    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            damaged.append(error)
            continue
        for frame, number in zip(frames, numbers):
            if number % every == 0:
                time = float(number / _rate(stream)) if frame.time is None else frame.time
                pixels = frame.to_ndarray(format="rgb24")
                turns = round(frame.rotation / 90)  # counterclockwise
                yield number, time, np.ascontiguousarray(np.rot90(pixels, turns))


def _rate(stream):
    return stream.average_rate or stream.guessed_rate or _RATE


def _progress(frames, stream, path, every):
    """The frames behind a progress bar with the rate and the remaining time."""
    from tqdm import tqdm

    count = stream.frames
    if not count and stream.container.duration:  # in microseconds
        count = round(stream.container.duration / 1e6 * _rate(stream))
    total = -(-count // every) or None
    return iter(tqdm(frames, Path(path).name, total, unit="frame", disable=None))


def _found(detector, frames, stop, options):
    """(number, time, `Detections`) of each frame; `options["batch"]` frames at a time."""
    # a frame that is cut into tiles makes batches of its own
    batch = 1 if options.get("tiles") else options.get("batch", 1)
    while not stop():
        some = list(itertools.islice(frames, batch))
        if not some:
            return
        found = detector.detect([pixels for *_, pixels in some], **options)
        yield from ((number, time, one) for (number, time, _), one in zip(some, found))


def _write(av, found, source, every, threshold, target, file) -> int:
    """Writes pictures to a video and rows to a JSON list; gives the number of frames."""
    base, last, stream = source.time_base or Fraction(1, 90_000), -1, None
    for count, (number, time, one) in enumerate(found):
        height, width = one.image.shape[:2]
        if stream is None:
            # "h264" is the encoder that this FFmpeg has
            stream = target.add_stream("h264", _rate(source) / every, options={"crf": "20"})
            stream.width, stream.height = width, height
            # colours of half the resolution, which all players know, need even sides
            stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
            stream.codec_context.time_base = base
        frame = av.VideoFrame.from_ndarray(np.asarray(one.draw(threshold, enlarge=False)))
        last = max(last + 1, round(time / base))  # times must rise
        frame.pts, frame.time_base = last, base
        target.mux(stream.encode(frame))
        row = {"frame": number, "time": time, "width": width, "height": height}
        file.write(",\n" * (count > 0) + json.dumps({**row, "detections": one.rows()}))
    if stream is None:
        return 0
    target.mux(stream.encode(None))
    return count + 1
