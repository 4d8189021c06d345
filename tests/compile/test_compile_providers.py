"""The providers that the compiler knows are LiteLLM's."""

import os

from retinue.compile.providers import PROVIDERS


def test_the_list_is_litellms():
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    from litellm import provider_list

    assert {str(getattr(one, "value", one)) for one in provider_list} | {"offline"} == PROVIDERS
