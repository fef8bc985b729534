"""Packaging of kdet. The recipes ship inside the wheel as `kdet.recipes`."""

from pathlib import Path

from setuptools import find_packages, setup

TEST = [
    *("pytest>=8", "pytest-xdist>=3.5", "ruff>=0.8", "setuptools>=68", "wheel"),
    *("jax>=0.4.38", "nbclient>=0.10", "nbformat>=5.10", "ipykernel>=6.29", "av>=14.2"),
    "fsspec>=2024.2",
]

LITERT = ["ai-edge-litert>=2.0", "ai-edge-quantizer>=0.4"]
ONNX = ["onnx>=1.16", "onnxruntime>=1.18", "tf2onnx>=1.16"]
OPENVINO = ["onnx>=1.16", "openvino>=2024.4", "tf2onnx>=1.16"]

setup(
    name="kdet",
    version="0.1.0",
    description="Classic object detectors in Keras 3: R-CNN, RetinaNet, YOLOv3, SSD",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=[*find_packages(include=["kdet", "kdet.*"]), "kdet.recipes"],
    package_dir={"kdet.recipes": "recipes"},
    package_data={"kdet": ["analyse/*.css", "draw/fonts/*", "zoo/*.json"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "tensorflow>=2.18",
        "keras>=3.8",
        "numpy>=1.26",
        "absl-py>=2.0",
        "pycocotools>=2.0.8",
        "pillow>=10.1",
        "tqdm>=4.66",
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]>=2.18"],
        "keras-cv": ["keras-cv>=0.9"],
        "video": ["av>=14.2"],
        "remote": ["fsspec>=2024.2"],
        "litert": LITERT,
        "onnx": ONNX,
        "openvino": OPENVINO,
        "test": TEST,
        "dev": [*TEST, *LITERT, *ONNX, *OPENVINO],
    },
    entry_points={"console_scripts": ["kdet=kdet.cli:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
