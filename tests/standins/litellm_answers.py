"""What LiteLLM 1.106.2 says when it refuses: status and words as measured, shapes as in its sources.

`litellm/proxy/management_endpoints/model_management_endpoints.py` (models), `auth/user_api_key_auth.py` and
`auth/route_checks.py` (keys), `db/exception_handler.py` (database), `route_llm_request.py` (requests).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from aiohttp import web


class RefusedError(Exception):
    """A refusal with its status and body."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.status = status
        self.body = body

    def answer(self) -> web.Response:
        """Give the HTTP answer."""
        return web.json_response(self.body, status=self.status)


def proxy_error(status: int, message: str, kind: str, param: str | None = "None") -> RefusedError:
    """Build LiteLLM's own error envelope (`ProxyException.to_dict`): its code is a string."""
    error = {"message": message, "type": kind, "param": param, "code": str(status)}
    return RefusedError(status, {"error": error})


def detail(status: int, value: Any) -> RefusedError:
    """Build FastAPI's error envelope."""
    return RefusedError(status, {"detail": value})


def no_key() -> RefusedError:
    """Refuse a request without a key."""
    return proxy_error(401, "Authentication Error, No api key passed in.", "auth_error")


def key_not_in_db() -> RefusedError:
    """/key/info of the master key."""
    return proxy_error(404, "Key not found in database", "not_found_error", "key")


def unknown_key(key: str) -> RefusedError:
    """Refuse a key that is not in the database."""
    if not key.startswith("sk-"):
        shown = f"{key[:4]}****{key[-4:]}" if len(key) > 8 else "****"
        return proxy_error(
            401,
            f"LiteLLM Virtual Key expected. Received={shown}, expected to start with 'sk-'.",
            "auth_error",
        )
    shown = f"sk-...{key[-4:]}" if len(key) >= 16 else "sk-..."
    hashed = hashlib.sha256(key.encode()).hexdigest()
    return proxy_error(
        401,
        f"Authentication Error, Invalid proxy server token passed. Received API Key = {shown}, "
        f"Key Hash (Token) ={hashed}. Unable to find token in cache or `LiteLLM_VerificationTokenTable`",
        "token_not_found_in_db",
        "key",
    )


def route_not_allowed(allowed: Sequence[str], route: str) -> RefusedError:
    """Refuse a key whose allowed_routes do not hold this route."""
    return proxy_error(
        403,
        "Virtual key is not allowed to call this route. "
        f"Only allowed to call routes: {list(allowed)}. Tried to call route: {route}",
        "auth_error",
    )


def role_not_allowed(role: str) -> RefusedError:
    """Refuse a key whose user is not a proxy admin."""
    text = {
        "error": f"User does not have permission to make this model call. Your role={role}. You can only "
        "make model calls if you are a PROXY_ADMIN or if you are a team admin, by specifying a team_id in "
        "the model_info."
    }
    return proxy_error(403, str(text), "auth_error")


def team_without_licence() -> RefusedError:
    """Refuse a row of a team on a LiteLLM without a licence."""
    text = {
        "error": "You must be a LiteLLM Enterprise user to use this feature. If you have a license please "
        "set `LITELLM_LICENSE` in your env. Get a 7 day trial key here: "
        "https://www.litellm.ai/enterprise#trial. \nPricing: https://www.litellm.ai/#pricing"
    }
    return proxy_error(403, str(text), "auth_error")


def database_unreachable() -> RefusedError:
    """Refuse a call whose key, or whose answer, must be read from a database that is away."""
    return proxy_error(
        503,
        "Service Unavailable, the authentication database is temporarily unreachable. Please retry shortly.",
        "no_db_connection",
    )


def no_database() -> RefusedError:
    """Refuse a write on a proxy that has no database at all."""
    text = {"error": "No DB Connected. Here's how to do it - https://docs.litellm.ai/docs/proxy/virtual_keys"}
    return proxy_error(500, str(text), "auth_error")


def no_database_for_update() -> RefusedError:
    """Refuse a PATCH on a proxy that has no database at all."""
    text = (
        "DB not connected. This endpoint needs a database; set DATABASE_URL to a PostgreSQL connection "
        "string (postgresql://...) to enable it. See https://docs.litellm.ai/docs/proxy/virtual_keys"
    )
    return detail(500, {"error": text})


def store_model_off() -> RefusedError:
    """Refuse a create or delete where store_model_in_db is not set."""
    text = {"error": "Set `'STORE_MODEL_IN_DB='True'` in your env to enable this feature."}
    return proxy_error(500, str(text), "auth_error")


def store_model_off_for_update() -> RefusedError:
    """Refuse an update where store_model_in_db is not set."""
    return proxy_error(400, "Model updates only supported for DB-stored models", "validation_error", None)


def not_added() -> RefusedError:
    """Answer a create that failed: a duplicate id and a lost database look the same."""
    text = {"error": "Failed to add model to db. Check your server logs for more details."}
    return proxy_error(500, str(text), "auth_error")


def not_live(action: str, model_id: str) -> RefusedError:
    """Answer a write that is stored although this replica cannot serve the row."""
    return proxy_error(
        500,
        f"Model {action} was saved to the database, but the model id(s) ['{model_id}'] are not live in this "
        "pod's router after the reload and are not being served by this pod. Other pods reload on their own "
        "interval. Check server logs for 'Error upserting deployment' or 'Error creating deployment' for the "
        "cause.",
        "internal_server_error",
        None,
    )


def not_found_on_proxy(model_id: str) -> RefusedError:
    """Answer an update of an id that exists nowhere."""
    return proxy_error(404, f"Model {model_id} not found on proxy.", "not_found_error", None)


def config_model() -> RefusedError:
    """Answer an update of an id that is in this replica's memory but not in the database."""
    return proxy_error(
        400,
        "Cannot edit config-based model. Store model in DB via /model/new first.",
        "validation_error",
        None,
    )


def update_failed(error: Exception) -> RefusedError:
    """Answer an update that met a lost database."""
    return proxy_error(500, f"Error updating model: {error}", "internal_server_error", None)


def not_found_in_db(model_id: str) -> RefusedError:
    """Answer a delete of an id that is not in the database."""
    return proxy_error(400, str({"error": f"Model with id={model_id} not found in db"}), "auth_error")


def delete_failed(error: Exception) -> RefusedError:
    """Answer a delete that met a lost database: 400, as for an unknown id."""
    return proxy_error(400, f"Authentication Error, {error}", "auth_error")


def not_in_memory(model_id: str) -> RefusedError:
    """Answer /model/info for an id that this replica does not hold."""
    return detail(400, {"error": f"Model id = {model_id} not found on litellm proxy"})


def no_deployment() -> RefusedError:
    """Answer a create whose body is no deployment: LiteLLM's own constructor fails, not the validation."""
    error = {"message": "Internal server error", "type": "internal_server_error"}
    return RefusedError(500, {"error": error})


def missing_field(*where: str) -> RefusedError:
    """Answer a body without a field that is needed."""
    return _invalid("missing", "Field required", "body", *where)


def model_info_is_no_object(path: str) -> RefusedError:
    """Answer a create or an update whose model_info is not an object."""
    if path == "/model/new":
        return _invalid(
            "model_type", "Input should be a valid dictionary or instance of ModelInfo", "body", "model_info"
        )
    words = "Input should be a valid dictionary or object to extract fields from"
    return _invalid("model_attributes_type", words, "body", "model_info")


def page_below_one() -> RefusedError:
    """Answer a page number that is none."""
    return _invalid("greater_than_equal", "Input should be greater than or equal to 1", "query", "page")


def body_is_no_object() -> RefusedError:
    """Answer a body that is not a JSON object."""
    return _invalid("json_invalid", "JSON decode error", "body", "0")


def _invalid(kind: str, words: str, *where: str) -> RefusedError:
    return detail(422, [{"type": kind, "loc": list(where), "msg": words}])


def unknown_model_name(model: str) -> RefusedError:
    """Answer a request for a name that no row has."""
    text = (
        f"/chat/completions: Invalid model name passed in model={model}. "
        "Call `/v1/models` to view available models for your key."
    )
    refused = proxy_error(400, text, "invalid_request_error", None)
    refused.body["error"]["provider_specific_fields"] = {"error": text}
    return refused


def all_blocked() -> RefusedError:
    """Answer a request for a name whose rows are all blocked."""
    return proxy_error(403, "litellm.PermissionDeniedError: Model is blocked", "permission_error", None)


def server_unreachable(model: str, error: Exception) -> RefusedError:
    """Answer a request whose deployment did not answer."""
    return proxy_error(
        500,
        f"litellm.InternalServerError: InternalServerError: Hosted_vllmException - {error}\n\n"
        f"LiteLLM: model group '{model}' failed with the error above. No fallback was attempted.",
        "internal_server_error",
        None,
    )


def stream_cut() -> RefusedError:
    """Build the error that ends a stream whose deployment went away; it is sent under HTTP 200."""
    return proxy_error(
        500,
        "litellm.APIError: APIError: OpenAIException - Response payload is not completed: "
        "<TransferEncodingError: 400, message='Not enough data to satisfy transfer length header.'>",
        "None",
    )
