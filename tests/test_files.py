"""Temporary files of atomic writes."""

from kdet.files import remove_leftovers, target_of, temporary_path


def test_target_of_a_temporary_path(tmp_path):
    with temporary_path(tmp_path / "last.npz") as temporary:
        assert target_of(temporary.name) == "last.npz"
    for name in ("last.npz", "last.npz.tmp", ".last.npz.tmp", ".last.npz.12-xyz.tmp"):
        assert target_of(name) is None


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    with (
        temporary_path(tmp_path / "last.npz") as file,
        temporary_path(tmp_path / "sheet") as folder,
    ):
        file.touch()
        (folder / "variables").mkdir(parents=True)
        (tmp_path / "last.npz").touch()
        (tmp_path / ".hidden.tmp").touch()
        remove_leftovers(tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden.tmp", "last.npz"]
