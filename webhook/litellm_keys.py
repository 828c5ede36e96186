"""The keys of a row that owners may set, with their kinds; those they may not, with the reason.

Read from LiteLLM 1.106: litellm/types/router.py and litellm/types/litellm_params.py (whose names LiteLLM
keeps to itself), litellm/types/utils.py (what it says of models). Of `litellm_params` only what is listed
here gets in: LiteLLM sends any key that it does not know to the model server, in every request's body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from webhook.kinds import (
    BUDGET_DURATION,
    COUNT,
    FLAG,
    MODE,
    MONEY,
    NAME,
    PRICE,
    RETRIES,
    SECONDS,
    TEXTS,
    Kind,
    one_of,
    text,
)

_MAX_DESCRIPTION: Final = 1024


def _all(names: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


PARAMS: Final[Mapping[str, Kind]] = {
    "rpm": COUNT,
    "tpm": COUNT,
    "weight": COUNT,
    "order": COUNT,
    "max_parallel_requests": COUNT,
    "timeout": SECONDS,
    "stream_timeout": SECONDS,
    "cooldown_time": SECONDS,
    "max_retries": RETRIES,
    "num_retries": RETRIES,
    "tags": TEXTS,
    "max_budget": MONEY,
    "budget_duration": BUDGET_DURATION,
    "default_api_key_rpm_limit": COUNT,
    "default_api_key_tpm_limit": COUNT,
    "drop_params": FLAG,
    "merge_reasoning_content_in_choices": FLAG,
    "supports_system_message": FLAG,
    "ensure_alternating_roles": FLAG,
    "max_file_size_mb": MONEY,
    "input_cost_per_token": PRICE,
    "output_cost_per_token": PRICE,
    "cache_read_input_token_cost": PRICE,
    "cache_creation_input_token_cost": PRICE,
    "output_cost_per_reasoning_token": PRICE,
    "input_cost_per_second": PRICE,
    "output_cost_per_second": PRICE,
    "input_cost_per_query": PRICE,
    "input_cost_per_audio_token": PRICE,
}

_WRITES: Final = "the registrar writes it"
_REDIRECTS: Final = "with it clients could have requests sent elsewhere, or with other keys"
_ROUTER: Final = "it makes another kind of row than one that stands for a model of this pod"
_CREDENTIAL: Final = (
    "a key is no setting of a model server in this cluster, and annotations are no place for one"
)
SENT: Final = "LiteLLM would send it to the model server with every request"

REFUSED_PARAMS: Final[Mapping[str, str]] = {
    "model": f"{_WRITES}, from the provider and the id that the server gives its model",
    "custom_llm_provider": "annotation provider says it",
    "api_base": f"{_WRITES}: the address of this very pod",
    "base_url": f"{_WRITES}, as api_base: the address of this very pod",
    "api_key": f"{_WRITES}, as the server itself got it; annotations are no place for a secret",
    **_all(
        "extra_headers headers",
        f"{_WRITES}: a drain counts open connections by them",
    ),
    **_all(
        "api_version litellm_credential_name aws_access_key_id aws_secret_access_key "
        "azure_ad_token vertex_credentials organization",
        _CREDENTIAL,
    ),
    "model_info": "annotation model-info says it",
    "max_tokens": "annotation max-tokens says how many a model can answer; here it would cut every answer",
    "mock_response": "clients would get made-up answers",
    "mock_timeout": "clients would get made-up failures",
    "use_in_pass_through": _REDIRECTS,
    "configurable_clientside_auth_params": _REDIRECTS,
    "kubernetes_pod_discovery": "a row stands for one pod, its address is no name that could be resolved",
    "tag_regex": "LiteLLM matches it on every request, however long that takes",
    "fallbacks": "they belong to LiteLLM's router settings",
    **_all(
        "auto_router_config complexity_router_config silent_model",
        _ROUTER,
    ),
    **_all(
        "itpm otpm rpd tpd temperature top_p top_k min_p seed stop n user "
        "presence_penalty frequency_penalty max_completion_tokens response_format tools "
        "tool_choice extra_body chat_template_kwargs reasoning_effort stream logit_bias",
        SENT,
    ),
}

# ProviderSpecificModelInfo in litellm/types/utils.py; others of this beginning are taken likewise.
_SUPPORTS: Final = (
    "assistant_prefill audio_input audio_output computer_use embedding_image_input function_calling "
    "native_streaming native_structured_output parallel_function_calling pdf_input prompt_caching reasoning "
    "response_schema system_messages tool_choice url_context video_input vision web_search"
)
SUPPORTS: Final = "supports_"
# LiteLLM reads more of model_info with each release, and some of it does much: it merges
# `health_check_params` into the parameters of a health check, an address and a provider too
# (`update_litellm_params_for_health_check` in litellm/proxy/health_check.py, 1.106; tried). Names that begin
# so are its own; and such structures stand under names of letters, digits and `_`.
LITELLMS: Final = ("health_check_", "litellm_", "custom_", "team_", "supported_")
OWN_KEY: Final = re.compile(r".*[-./].*", re.DOTALL)

INFO: Final[Mapping[str, Kind]] = {
    "mode": MODE,
    "max_tokens": COUNT,
    "max_input_tokens": COUNT,
    "max_output_tokens": COUNT,
    "output_vector_size": COUNT,
    **{f"{SUPPORTS}{name}": FLAG for name in _SUPPORTS.split()},
    "supported_endpoints": TEXTS,
    "supported_openai_params": TEXTS,
    "reasoning_effort_levels": TEXTS,
    "base_model": NAME,
    "tier": one_of("free", "paid"),
    "team_id": NAME,
    "access_groups": TEXTS,
    "display_name": NAME,
    "description": text(_MAX_DESCRIPTION),
    "category": NAME,
    "discoverable": FLAG,
    "enable_tag_filtering": FLAG,
    "allow_fail_open": FLAG,
    "disable_background_health_check": FLAG,
    "health_check_model": NAME,
    "health_check_timeout": SECONDS,
    "health_check_max_tokens": COUNT,
}

_LITELLM_WRITES: Final = "LiteLLM writes it"
_SHOWN: Final = "annotations are no place for a secret, and LiteLLM shows model_info to its users"
REFUSED_INFO: Final[Mapping[str, str]] = {
    "id": f"{_WRITES}: it is made of cluster, pod and model, so that no row is ever there twice",
    "registrar_reaper": "the broker writes it: why its reaper has blocked the row",
    "registrar": f"{_WRITES}: by it the registrar knows its rows",
    "blocked": f"{_WRITES}, when the server is ill",
    "health_check_params": _REDIRECTS,
    **_all("api_key aws_secret_access_key azure_ad_token vertex_credentials password secret token", _SHOWN),
    **_all(
        "db_model created_at created_by updated_at updated_by key litellm_provider team_public_model_name "
        "access_via_team_ids direct_access",
        _LITELLM_WRITES,
    ),
    **_all(
        "access_windows ptu_count cost_per_ptu_per_hour ptu_effective_from "
        "ptu_effective_to tiered_pricing member_auto_router internal_router_model "
        "pricing_provider supported_environments custom_tokenizer litellm_routing_preferences "
        "off_peak_pricing original_model_id",
        "LiteLLM gives it a meaning that the registrar cannot check; it is set in LiteLLM itself",
    ),
}
