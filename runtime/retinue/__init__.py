"""Declarative agents: YAML becomes an `Agent`; an `Agent` is run, served or bundled."""

__version__ = "0.1.0.dev0"
