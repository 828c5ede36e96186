"""Attacks on rows of others, and on where a row leads."""

from __future__ import annotations

from typing import Final

from sidecar.row_contract import row_id
from tests.injected import CLUSTER
from tests.real.broker.attacks.making import (
    DONE,
    GONE,
    NEW,
    a,
    change,
    delete,
    elsewhere,
    get,
    in_path,
    info,
    look,
    new,
    others,
    param,
    places,
    providers,
    theirs,
)
from tests.real.broker.world import ALIAS, CONFIGURED, HAND_MADE, METADATA, model

ROWS: Final = (
    a(
        "delete-others",
        "Others' rows are deleted: by ids of theirs, and by ids that are nearly its own.",
        lambda w: tuple(delete(key) for key in others(w)),
        "row_id",
    ),
    a(
        "look-at-others",
        "Others' rows are looked at.",
        lambda w: tuple(look(key) for key in others(w) if in_path(key)),
        "row_id",
    ),
    a(
        "change-others",
        "Others' rows are changed, with their id in path and body.",
        lambda w: tuple(change(w, {"model_info.id": key}, key) for key in others(w) if in_path(key)),
        "row_id",
    ),
    a(
        "adopt-others",
        "Others' rows are changed, with its own id in the body.",
        lambda w: tuple(change(w, key=key) for key in others(w) if in_path(key)),
        "row_id",
    ),
    a(
        "become-others",
        "Its own row is changed, with others' ids in the body.",
        lambda w: tuple(change(w, {"model_info.id": key}) for key in others(w)),
        "row_id",
    ),
    a(
        "make-others",
        "Rows with others' ids are made.",
        lambda w: tuple(new(w, {"model_info.id": key}) for key in others(w)),
        "row_id",
    ),
    a(
        "ids-of-other-models",
        "A row with the id of another model, generation or alias of its own.",
        lambda w: tuple(
            new(w, {"model_info.id": key})
            for key in (
                w.mine,
                w.attacker.id("other"),
                row_id(CLUSTER, w.attacker.namespace, w.attacker.uid, NEW, 1),
                row_id(CLUSTER, w.attacker.namespace, w.attacker.uid, NEW, alias="other"),
            )
        ),
        "row_id",
    ),
    a(
        "two-models",
        "A block about another model than the parameters'.",
        places("model_info.registrar.model", "other", HAND_MADE),
        "row_id",
    ),
    a(
        "no-id",
        "Ids that are no text, or missing.",
        places("model_info.id", GONE, None, 7, [], {"$ne": 1}),
        "body_bad",
    ),
    a(
        "two-ids-asked",
        "A parameter twice, and as other frameworks read lists.",
        lambda w: tuple(
            get(f"/v2/model/info?{query}")
            for query in (
                f"modelId={w.mine}&modelId={theirs(w)}&size=1",
                f"modelId={w.mine}&size=1&modelId={theirs(w)}",
                f"modelId[]={theirs(w)}&size=1",
                f"modelId={w.mine};modelId={theirs(w)}&size=1",
                f"modelId={w.mine}&size=1&search=a",
                f"modelId={w.mine}&size=1&debug=true",
                "size=500",
                "page=1&size=200&search=v",
                "page=1&size=1e9",
                "page=1&size=-1",
                "page=0&size=1",
                "litellm_model_id=x",
                "page=%31&size=%32&teamId=x",
            )
        ),
        "route_unknown",
        "row_id",
    ),
    a(
        "two-ids-encoded",
        "Two ids in one parameter.",
        lambda w: tuple(
            look(f"{w.mine}{mark}{theirs(w)}") for mark in (",", "%2C", "%26modelId%3D", "%0a", "%00", "%20")
        ),
        "row_id",
    ),
    a(
        "own-page",
        "Its own page: any size, any number.",
        lambda _: tuple(
            get(f"/v2/model/info?page={page}&size={size}")
            for page, size in ((1, 200), (2, 1), (999999, 999999))
        ),
        DONE,
    ),
    a(
        "siblings-of-others",
        "The rows of names that others have.",
        lambda w: tuple(
            get(f"/v2/model/info?model={name}&size=50")
            for name in (model(w.victim), CONFIGURED, HAND_MADE, ALIAS)
        ),
        "name_taken",
    ),
    a(
        "siblings-of-all",
        "The rows of names that fit all.",
        lambda _: tuple(
            get(f"/v2/model/info?model={name}&size=50")
            for name in ("*", "%2A", "", "%25", "any-*-x", "%27+or+1=1--")
        ),
        "model_name",
        DONE,
    ),
    a(
        "siblings",
        "The rows of its own name.",
        lambda w: get(f"/v2/model/info?model={model(w.attacker)}&size=50"),
        DONE,
    ),
)

WHERE: Final = (
    a(
        "api-base",
        "Addresses of others, the node, LiteLLM, a cloud's metadata, and what only looks like its own.",
        lambda w: places("litellm_params.api_base", *elsewhere(w))(w),
        "api_base",
    ),
    a(
        "no-api-base",
        "No address, and what is no text.",
        places("litellm_params.api_base", GONE, None, 7, [], ["http://x"], {}, True),
        "api_base",
    ),
    a(
        "address-beside",
        "Another address beside the pod's.",
        param(
            base_url=f"http://{METADATA}",
            kubernetes_pod_discovery=True,
            use_in_pass_through=True,
            configurable_clientside_auth_params=["api_base"],
            custom_llm_provider="bedrock",
        ),
        "litellm_params",
    ),
    a(
        "address-in-info",
        "Another address in model_info: LiteLLM's health checks would ask there.",
        info(
            health_check_params={"api_base": f"http://{METADATA}"},
            litellm_params={"api_base": "http://x"},
            health_check_voice={"api_base": "http://x"},
        ),
        "model_info",
    ),
    a(
        "provider",
        "Providers for which LiteLLM has credentials of its own, and what is none.",
        providers(
            "bedrock/x",
            "azure/x",
            "vertex_ai/x",
            "litellm_proxy/x",
            "gpt-4o",
            "sagemaker/x",
            "openai",
            "openai/",
            "/x",
            "OPENAI/x",
            " openai/x",
            "hosted_vllm/*",
            "openai/*",
            "*",
            "",
            None,
            7,
            ["openai/x"],
            GONE,
        ),
        "provider",
    ),
    a(
        "model-of-others",
        "The model behind a row that somebody made by hand, which LiteLLM takes requests by too.",
        lambda w: tuple(
            new(w, {"litellm_params.model": f"openai/{served}"}, served)
            for served in ("by-hand", "configured")
        ),
        "name_taken",
    ),
)
