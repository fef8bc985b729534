"""Random changes of stretched training images, and resizing as OpenCV and Pillow do it."""
