"""docs/benchmarks.md is made from the stored results, and a failed comparison changes nothing."""

import datetime
import json
import pathlib
import subprocess
import sys

import page
import pytest

ROOT = pathlib.Path(__file__).parents[1]
FAKE = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("--json")
parser.add_argument("--fail", action="store_true")
flags, _ = parser.parse_known_args()
if flags.fail:
    sys.exit(3)
convolution = {"convolution": "3x3", "kdet GFLOP/s": 200.0, "torchvision GFLOP/s": 160.0}
slow = {"convolution": "1x1", "kdet GFLOP/s": 50.0, "torchvision GFLOP/s": 20.0}
detectors = [
    {"detector": "kdet a", "ms": 20.0, "GFLOP/s": 150.0, "slower than kdet": None},
    {"detector": "torchvision b", "ms": 41.0, "GFLOP/s": 40.0, "slower than kdet": [1.5, 2, 2.5]},
]
found = {
    "convolutions.py": ("Large convolutions", [convolution, slow], ""),
    "inference.py": ("Inference", detectors, "A note."),
}[pathlib.Path(sys.argv[0]).name]
found = dict(zip(("title", "rows", "note"), found), versions={"torch": "2.0"})
pathlib.Path(flags.json).write_text(json.dumps(found))
"""
TEXT = "before\n{}\n{}\nafter\n"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a page and scripts that measure nothing. Returns a function that runs page.py.

    The function takes a processor, a date and jobs.
    """
    for script in ("convolutions.py", "inference.py"):
        (tmp_path / script).write_text(FAKE)
    text = TEXT.format(*page.MARKS)
    (tmp_path / "page.md").write_text(text)

    def run(processor, date, jobs, *more):
        class Day(datetime.date):
            @classmethod
            def today(cls):
                return cls.fromisoformat(date)

        monkeypatch.setattr(page, "HERE", tmp_path)
        monkeypatch.setattr(page, "jobs", lambda flags: jobs)
        monkeypatch.setattr(page.report, "processor", lambda: processor)
        monkeypatch.setattr(page.report, "instruction_set", lambda: "AVX-512")
        monkeypatch.setattr(page.datetime, "date", Day)
        paths = ["--page", str(tmp_path / "page.md"), "--results", str(tmp_path / "results")]
        return page.main([*paths, "--threads", "2", *more])

    return run


JOBS = [("convolutions.py", []), ("inference.py", []), ("inference.py", [])]


def test_a_run_adds_its_tables_and_keeps_those_of_other_machines(desk, tmp_path):
    assert desk("Old 1 GHz", "2026-01-02", JOBS) == 0
    first = (tmp_path / "page.md").read_text()
    assert desk("New @ 2 GHz", "2026-03-04", JOBS, "--avx2") == 0
    second = (tmp_path / "page.md").read_text()
    names = sorted(path.stem.partition("cores")[0] for path in (tmp_path / "results").iterdir())
    assert [name.rpartition("-")[0][:-2] for name in names] == [
        "2026-01-02-old-1-ghz",
        "2026-03-04-new-2-ghz",
    ]
    # the newest run comes first, and the tables of the old one are the same as before
    old = first.split("\n\n", 1)[1]
    assert second.endswith(old) and second.startswith("before\n") and old.endswith("after\n")
    assert second.index("2026-03-04, New @ 2 GHz, AVX-512, held to AVX2") < second.index("Old 1")
    assert "fastest large convolution reaches 200 GFLOP/s with kdet and 160 GFLOP/s" in first
    assert "| kdet a | 20.0 | 150 | 75% | - |\n" in first
    assert "| torchvision b | 41.0 | 40 | 25% | 1.50, **2.00**, 2.50 |\n" in first
    assert first.count("**Inference**") == 1 and first.count("| kdet a |") == 2


def test_a_run_of_the_same_day_replaces_its_tables(desk, tmp_path):
    desk("One", "2026-01-02", JOBS)
    before = (tmp_path / "page.md").read_text()
    desk("One", "2026-01-02", JOBS)
    assert (tmp_path / "page.md").read_text() == before
    assert desk("One", "2026-01-03", [], "--show") == 0  # the page can be made again
    assert (tmp_path / "page.md").read_text() == before


def test_a_failed_comparison_is_named_and_loses_nothing(desk, tmp_path, capsys):
    desk("One", "2026-01-02", JOBS)
    before = (tmp_path / "page.md").read_text()
    jobs = [JOBS[0], ("inference.py", ["--peer", "secret/python", "--fail"]), JOBS[1]]
    assert desk("One", "2026-01-03", jobs, "--peer", "secret/python") == 1
    assert "failed: inference.py --fail (code 3)" in capsys.readouterr().out
    after = (tmp_path / "page.md").read_text()
    assert after.count("This comparison failed: `inference.py --fail (code 3)`") == 1
    assert after.count("| kdet a |") == 3 and after.endswith(before.split("\n\n", 1)[1])


def test_a_second_run_on_a_day_replaces_only_what_it_measures(desk, tmp_path):
    desk("One", "2026-01-02", JOBS)
    before = (tmp_path / "page.md").read_text()
    assert before.count("| kdet a |") == 2
    desk("One", "2026-01-02", JOBS[1:2])
    after = (tmp_path / "page.md").read_text()
    assert after.count("| kdet a |") == 1 and after.count("**Large convolutions**") == 1


def test_a_failure_stays_on_the_page_until_the_comparison_runs_again(desk, tmp_path):
    failing = ("inference.py", ["--fail"])
    desk("One", "2026-01-02", [JOBS[0], failing])
    assert desk("One", "2026-01-02", JOBS[:1]) == 0
    assert (tmp_path / "page.md").read_text().count("`inference.py --fail (code 3)`") == 1
    (tmp_path / "inference.py").write_text(FAKE.replace("fail", "other"))
    desk("One", "2026-01-02", [failing])
    assert "comparison failed" not in (tmp_path / "page.md").read_text()


def test_results_are_written_after_every_comparison(desk, tmp_path):
    def jobs():
        yield JOBS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk("One", "2026-01-02", jobs())
    assert "**Large convolutions**" in (tmp_path / "page.md").read_text()


def test_a_page_without_marks_is_refused_before_anything_runs(desk, tmp_path):
    (tmp_path / "page.md").write_text("no marks")
    with pytest.raises(SystemExit, match="once each"):
        desk("One", "2026-01-02", [("missing.py", [])])


def test_avx2_holds_both_sides_and_keeps_other_flags(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    flags = page.argparse.Namespace(avx2=True)
    found = page.environment(flags)
    assert found["XLA_FLAGS"] == "--xla_dump_to=x --xla_cpu_max_isa=AVX2"
    assert found["ONEDNN_MAX_CPU_ISA"] == "AVX2" and found["ATEN_CPU_CAPABILITY"] == "avx2"
    flags.avx2 = False
    assert page.environment(flags)["XLA_FLAGS"] == "--xla_dump_to=x"


def test_the_comparisons_with_torchvision_need_a_peer():
    flags = page.argparse.Namespace(
        only=",".join(page.KINDS), peer=None, data=None, quick=True, avx2=False
    )
    assert [script for script, _ in page.jobs(flags)] == [
        "convolutions.py", "input_pipeline.py", "workers.py", "deploy.py", *4 * ["account.py"],
    ]  # fmt: skip
    flags.peer, flags.avx2, flags.only = "python", True, f"{flags.only},{page.GPU}"
    scripts = {script for script, _ in page.jobs(flags)}
    assert scripts == {f"{kind}.py" for kind in (*page.KINDS, page.GPU)} - {"deploy.py"}
    for script, arguments in page.jobs(flags):
        text = (ROOT / "benchmarks" / script).read_text()
        assert all(f'"{word}"' in text for word in arguments if word.startswith("--")), script


def test_a_real_comparison_can_be_read(tmp_path):
    path = tmp_path / "table.json"
    script = ROOT / "benchmarks" / "convolutions.py"
    command = [sys.executable, script, "--small", "--runs", "2", "--warmup", "1", "--json", path]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads(path.read_text())
    assert found["title"] == "Large convolutions" and "tensorflow" in found["versions"]
    (row,) = found["rows"]
    assert row["kdet GFLOP/s"] > 0 and row["torchvision GFLOP/s"] is None


def test_workers_send_what_a_ring_sends(tmp_path):
    path = tmp_path / "table.json"
    script = ROOT / "benchmarks" / "workers.py"
    small = ["--most=2", "--compute=0.1", "--parameters=1e5", "--runs=2", "--warmup=1"]
    command = [sys.executable, script, *small, "--json", path]
    subprocess.run(command, check=True, capture_output=True)
    alone, both = json.loads(path.read_text())["rows"]
    assert alone["step ms"] > 100 and alone["efficiency"] == "100%"
    # each of two workers sends all gradients once, and little else
    assert both["workers"] == 2 and both["gradients MB"] == 0.4
    assert 0.4 <= both["sent by each worker MB"] < 2  # other programs use the device, too


def test_the_page_shows_the_stored_results():
    head, tail = page.split(page.PAGE)
    text = head + page.generated(page.HERE / "results") + tail
    message = "benchmarks/page.py was not run with --show"
    assert page.PAGE.read_text("utf-8") == text, message
