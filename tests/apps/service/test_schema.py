"""The service keeps its own OpenAPI document: generated requests, valid and invalid, by schemathesis."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from deepgllim.apps.http.limits import Limits
from deepgllim.apps.service.application import create_app
from deepgllim.apps.service.options import ServiceOptions
from tests.apps.http.served import HOSTILE, POSE, STRANGE, picture
from tests.apps.service.predictors import ConstantBatches

load_all_checks()
CONTENTS = st.one_of(
    st.sampled_from([picture(), picture(kind="jpeg"), picture(9, (1, 1)), picture(size=(300, 400)), *HOSTILE.values()]),
    st.binary(max_size=200),
)
for kind in ("image/jpeg", "image/png", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, CONTENTS)

APP = create_app(
    ConstantBatches(POSE, STRANGE),
    ServiceOptions(Limits(max_pixels=100_000, max_bytes=50_000)),
    known_host=lambda _: True,
)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)


@SCHEMA.parametrize()
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_requests_of_the_schema_get_answers_of_the_schema(case: schemathesis.Case[Any]) -> None:
    # the schema cannot express which bytes are a picture
    case.call_and_validate(excluded_checks=[positive_data_acceptance])
