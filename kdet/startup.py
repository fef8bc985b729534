"""Imports TensorFlow without its start-up messages, for the commands of kdet."""

import os
import sys
import tempfile


def import_tensorflow():
    """Imports TensorFlow and hides its output on standard error, unless the import fails.

    C++ code writes these messages (oneDNN, missing CUDA) before a log level can be set, and they
    hide kdet's own first lines. A command may do this, but a library should not.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # this writes messages, too
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
