"""Data augmentation of stretched training images, and resizing as in OpenCV and Pillow."""
