"""Class names."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config.errors import ConfigError


@dataclass(frozen=True)
class LabelMap:
    """Class names and their ids in the source data; label k is entry k of both.

    Labels are contiguous 0..K-1 everywhere in kdet; `ids` are only for files that go back out.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def __post_init__(self):
        if len(self.names) != len(self.ids) or len(set(self.ids)) != len(self.ids):
            raise ConfigError(
                f"a label map needs one distinct id per name, got {len(self.names)} names "
                f"and ids {self.ids}"
            )

    def __len__(self):
        return len(self.names)

    def label_of(self, source_id: int) -> int:
        """Label of a source category id. Raises KeyError for an unknown id."""
        try:
            return self.ids.index(source_id)
        except ValueError:
            raise KeyError(f"category id {source_id} is not in the label map") from None
