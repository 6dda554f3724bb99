"""The base of everything that goes into a history: params and results of workflows and activities.

Histories are replayed by later code, so these models are only ever added to: no validators, unknown fields are
ignored, defaults are constants. Domain models are built from them inside activities.
"""

from pydantic import BaseModel, ConfigDict


class History(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)
