"""What every request model of the wire is built on."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Right types only; unknown fields are ignored, and null means absent."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")
