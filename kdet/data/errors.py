"""The one exception of reading and writing data."""


class DataError(ValueError):
    """A data set, a record or an annotation is not what it should be; the text is one line."""
