"""An `Agent` and messages → events: the loop between a model and its tools."""
