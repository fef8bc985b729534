"""What every test may ask for."""

import pathlib

import pytest


@pytest.fixture(scope="session")
def shared():
    """The folder with real images and golden numbers beside the checkout; skips without it."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared folder")
    return folder
