"""Attacks by what else is in a row."""

from __future__ import annotations

from typing import Final

from tests.real.broker.attacks.making import (
    DONE,
    GONE,
    SECRET,
    a,
    change,
    info,
    new,
    param,
    places,
)

CONTENT: Final = (
    a(
        "api-key",
        "No key, for which LiteLLM would send one of its own; a reference to one; no text.",
        places(
            "litellm_params.api_key",
            GONE,
            None,
            "",
            7,
            [],
            SECRET,
            f" {SECRET}",
            f"\t{SECRET}",
            SECRET.upper(),
            "x" * 4097,
            "a\nb",
            "a\r\nX-Header: b",
        ),
        "api_key",
    ),
    a(
        "headers",
        "Headers to the server that are not the drain's.",
        param(extra_headers={"Authorization": "Bearer x"}, headers={"X": "y"}),
        "litellm_params",
    ),
    a(
        "headers-changed",
        "The drain's header, nearly.",
        places(
            "litellm_params.extra_headers",
            GONE,
            None,
            [],
            {"connection": "close"},
            {"Connection": "close", "Host": "x"},
            {"Connection": "close\r\nX: y"},
            {"Connection": SECRET},
        ),
        "litellm_params",
    ),
    a(
        "credentials",
        "Credentials of LiteLLM's, by name and by value.",
        param(
            litellm_credential_name="default",
            aws_access_key_id="x",
            vertex_credentials=SECRET,
            azure_ad_token="x",
            organization=SECRET,
            api_version="1",
        ),
        "litellm_params",
    ),
    a(
        "parameters",
        "Parameters that make answers up, make other rows, or go to the server unread.",
        param(
            mock_response="x",
            mock_timeout=True,
            auto_router_config="x",
            silent_model="x",
            fallbacks=["x"],
            model_info={"id": "x"},
            extra_body={"x": 1},
            guardrails=["x"],
            tag_regex=["(a+)+"],
            max_tokens=1,
            stream=True,
            litellm_system_prompt="x",
            prompt_id="x",
            callbacks=["x"],
            vector_store_ids=["x"],
            __proto__={},
            **{"": 1, "api_base ": "http://x", "API_BASE": "http://x"},
        ),
        "litellm_params",
    ),
    a(
        "newer",
        "The same by a registrar that says to be newer, which may send more.",
        lambda w: tuple(
            new(w, {f"litellm_params.{key}": "x"}, headers={"X-Registrar-Contract": "5"})
            for key in (
                "base_url",
                "litellm_credential_name",
                "mock_response",
                "headers",
                "custom_llm_provider",
            )
        ),
        "litellm_params",
    ),
    a(
        "newer-keys",
        "Keys that nobody could name, by a newer one.",
        lambda w: tuple(
            new(w, {f"litellm_params.{key}": "x"}, headers={"X-Registrar-Contract": "5"})
            for key in ("a b", "a\r\nX: y", "\u0130", "x" * 101)
        ),
        "body_bad",
    ),
    a(
        "references",
        "References to LiteLLM's secrets, wherever a text may stand.",
        lambda w: tuple(
            new(w, change)
            for change in (
                {"litellm_params.tags": [SECRET]},
                {"litellm_params.budget_duration": SECRET},
                {"litellm_params.rpm": SECRET},
            )
        ),
        "litellm_params",
    ),
    a(
        "references-in-info",
        "References in model_info, however deep, as keys too.",
        lambda w: tuple(
            new(w, change)
            for change in (
                {"model_info.my-note": SECRET},
                {"model_info.my-note": [{"a": [SECRET]}]},
                {"model_info.my-note": {SECRET: 1}},
                {"model_info.base_model": SECRET},
                {"model_info.description": SECRET},
                {"model_info.access_groups": [SECRET]},
                {"model_info.registrar.version": SECRET},
                {"model_info.registrar.unknown": [SECRET]},
            )
        ),
        "model_info",
    ),
    a(
        "info",
        "What LiteLLM gives a meaning, or writes itself.",
        info(
            db_model=False,
            created_by="admin",
            updated_by="x",
            key="x",
            direct_access=True,
            access_via_team_ids=["x"],
            team_public_model_name="gpt-4o",
            blocked=True,
            tiered_pricing=[],
            supported_environments=["x"],
            original_model_id="x",
            health_check_model="bedrock/x",
            input_cost_per_token=0,
            mode="x",
            supports_vision="yes",
            api_key="x",
            litellm_provider="x",
            custom_tokenizer={},
        ),
        "model_info",
    ),
    a("team", "Somebody's team.", info(team_id="somebodys"), "team"),
    a(
        "block-of-others",
        "An ownership block that says more than a registrar knows.",
        lambda w: tuple(
            make(w, {f"model_info.registrar.{key}": "x"})
            for key in ("blocked_by", "team", "id", "admin")
            for make in (new, change)
        ),
        "model_info",
    ),
    a(
        "no-block",
        "A new row without an ownership block.",
        lambda w: new(w, {"model_info.registrar": GONE}),
        "model_info",
    ),
    a(
        "block-of-no-object",
        "A block that is no object.",
        places("model_info.registrar", None, [], "x"),
        "body_bad",
    ),
    a(
        "info-without-parameters",
        "A change of model_info alone.",
        lambda w: change(w, {"litellm_params": {}, "model_info.mode": "embedding"}),
        "model_info",
    ),
    a(
        "ownership",
        "The victim's ownership, written over its own: it stays the pod's.",
        lambda w: tuple(
            change(
                w,
                {
                    f"model_info.registrar.{key}": value
                    for key, value in {
                        "cluster": "x",
                        "namespace": w.victim.namespace,
                        "pod": w.victim.name,
                        "pod_uid": w.victim.uid,
                        "node": "x",
                    }.items()
                }
                | more,
            )
            for more in ({}, {"litellm_params": {}, "model_info.mode": GONE})
        ),
        DONE,
        writes=True,
    ),
    a(
        "blocked",
        "Its own row is blocked and back.",
        lambda w: (change(w, {"blocked": True}), change(w, {"blocked": False})),
        DONE,
        writes=True,
    ),
    a(
        "blocked-by-no-flag",
        "Blocked by what is neither true nor false.",
        places("blocked", 1, "true", None, {}),
        "body_bad",
    ),
)
