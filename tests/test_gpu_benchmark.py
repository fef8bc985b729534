"""The comparison with torchvision on JAX runs, here on a CPU with tiny detectors and no torch."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu_jax.py"
# an interpreter that cannot run the peer, as one without torch would
BROKEN = "#!/bin/sh\necho 'No module named torch' >&2\nexit 1\n"


def lines_of(*arguments):
    """The cells of the lines of the table that the script prints."""
    small = ["--small", "--runs", "2", "--warmup", "0", "--calls", "1"]
    command = [sys.executable, str(SCRIPT), *small, *arguments]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line[:2] == "| "]
    return [dict(zip(found[0], row)) for row in found[1:]]


def test_every_side_has_its_line(tmp_path):
    pytest.importorskip("jax")
    peer = tmp_path / "python"
    peer.write_text(BROKEN)
    peer.chmod(0o755)
    row = "ssd_mobilenet_v1_voc"
    arguments = ["--rows", row, "--precisions", "fp32", "--inference", "1", "--training", "2"]
    found = lines_of(*arguments, "--peer", str(peer))
    # two detectors of torchvision, and none of them starts
    names = [f"{row} / {peer}" for peer in ("ssdlite320_mobilenet_v3_large", "ssd300_vgg16")]
    assert [line["row"] for line in found] == 2 * names
    what = ["inference, batch 1", "training step, batch 2"]
    assert [line["what"] for line in found] == [w for w in what for _ in names]
    for line in found:
        assert line["precision"] == "fp32" and line["device"] == "cpu"
        assert float(line["kdet ms"]) > 0 and float(line["compilation s"]) > 0
        assert line["torchvision ms"] == line["ratio"] == "-"
        assert line["note"].startswith("torchvision: RuntimeError")
        assert line["note"].endswith("ended with code 1, No module named torch")


def test_wrong_names_are_refused():
    command = [sys.executable, str(SCRIPT), "--rows", "retinanet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--rows: expected some of ssd_mobilenet_v1_voc" in done.stderr
