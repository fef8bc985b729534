"""Pure tensor functions in `keras.ops`: no weights, no state, any backend."""
