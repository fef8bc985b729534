"""TensorFlow without its start-up notices, for our own commands."""

import os
import sys
import tempfile


def import_tensorflow():
    """Imports TensorFlow with standard error held back; shows it only where the import fails.

    The notices (oneDNN, missing CUDA) come from C++ before any log level of this process counts,
    and hide our own first lines. Libraries should not do this; commands may.
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

            tf.config.list_physical_devices()  # looking for GPUs has its notices, too
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
