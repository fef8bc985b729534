"""Checks of field values that several configs use."""

from kdet.errors import ConfigError


def one_of(config, name, allowed):
    """Raises ConfigError unless the field `name` of `config` is one of `allowed`."""
    value = getattr(config, name)
    if value not in allowed:
        options = ", ".join(map(repr, allowed))
        raise ConfigError(f"{type(config).__name__}.{name} must be one of {options}; got {value!r}")


def at_least(config, least, *names):
    """Raises ConfigError unless each field of `config` in `names` is `least` or more."""
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise ConfigError(
                f"{type(config).__name__}.{name} must be at least {least}; got {value!r}"
            )
