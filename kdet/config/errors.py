"""What is wrong with a configuration."""


class ConfigError(ValueError):
    """A recipe, an override or a stored configuration says something impossible."""


def one_of(config, name, allowed):
    """Raises ConfigError unless the field `name` of `config` is one of `allowed`."""
    value = getattr(config, name)
    if value not in allowed:
        options = ", ".join(map(repr, allowed))
        raise ConfigError(f"{type(config).__name__}.{name} must be one of {options}; got {value!r}")
