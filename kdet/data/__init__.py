"""1 of 6: images and annotations -> TFRecord shards -> static-shape batches."""
