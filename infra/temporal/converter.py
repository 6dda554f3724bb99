"""How params and results become payloads: as JSON by pydantic, with one set of converters for the whole process.

The SDK makes a converter of its own for every run and every activation. Its pydantic converter would then build the
adapter of each model anew every time: a twentieth of the control worker's time.
"""

from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, DataConverter

_CONVERTERS = tuple(PydanticPayloadConverter(max_cached_type_adapters=None).converters.values())


class SharedPayloadConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


data_converter = DataConverter(payload_converter_class=SharedPayloadConverter)
