"""Attacks by who asks: tokens and pods."""

from __future__ import annotations

import base64
from typing import Final

from tests.real.broker.attacks.making import (
    a,
    by,
    get,
    look,
    new,
    odd,
    of,
    spliced,
    theirs,
    unsigned,
)

WHO: Final = (
    a("no-token", "No token at all.", of(lambda _: None), "token_missing"),
    a("empty-token", "An empty token.", of(lambda _: ""), "token_missing"),
    a("no-jwt", "Something that is no token.", of(lambda _: "sk-1234"), "token_refused"),
    a("litellm-key", "LiteLLM's own master key, guessed.", of(lambda w: w.proxy.key), "token_refused"),
    a("expired", "A token of the pod that has ended.", of(lambda w: w.tokens["expired"]), "token_refused"),
    a(
        "audience",
        "The pod's token for the API server.",
        of(lambda w: w.tokens["of another audience"]),
        "token_refused",
    ),
    a(
        "no-pod",
        "A token of the ServiceAccount, bound to nothing.",
        of(lambda w: w.tokens["of no pod"]),
        "token_not_of_a_pod",
    ),
    a("node", "A token that is bound to a node.", of(lambda w: w.tokens["of a node"]), "token_not_of_a_pod"),
    a(
        "gone-pod",
        "The token of a pod that is gone, another has its name.",
        lambda w: new(w, headers={"Authorization": f"Bearer {w.tokens['of a gone pod']}"}),
        "token_refused",
        "row_id",
        "pod_gone",
    ),
    a("unsigned", "The victim's claims, unsigned.", of(unsigned), "token_refused"),
    a("spliced", "The victim's claims under the attacker's signature.", of(spliced), "token_refused"),
    a(
        "neighbours-token",
        "The attacker's rows with a token of its neighbour.",
        by(lambda w: w.neighbour),
        "row_id",
    ),
    a("victims-token", "The attacker's rows with the victim's token.", by(lambda w: w.victim), "row_id"),
    a(
        "two-tokens",
        "Its own token and the victim's, in two headers.",
        lambda w: look(theirs(w), more=(f"Authorization: Bearer {w.victim.token}",)),
        "token_refused",
    ),
    a(
        "token-in-query",
        "The token as a parameter.",
        lambda w: get(
            f"/v2/model/info?page=1&size=9&access_token={w.attacker.token}", headers={"Authorization": None}
        ),
        "token_missing",
    ),
    a(
        "token-in-query-too",
        "The token as a parameter, beside the header.",
        lambda w: get(f"/v2/model/info?token={w.attacker.token}"),
        "route_unknown",
    ),
    a(
        "token-in-cookie",
        "The token as a cookie, and in headers that others know.",
        lambda w: look(
            w.mine,
            headers={
                "Authorization": None,
                "Cookie": f"token={w.attacker.token}",
                "X-Api-Key": w.attacker.token,
                "Proxy-Authorization": f"Bearer {w.attacker.token}",
            },
        ),
        "token_missing",
    ),
    a("token-in-path", "The token as a path.", lambda w: get(f"/{w.attacker.token[:200]}"), "route_unknown"),
    a(
        "basic",
        "The token as a password.",
        lambda w: look(
            w.mine,
            headers={"Authorization": "Basic " + base64.b64encode(f"x:{w.attacker.token}".encode()).decode()},
        ),
        "token_missing",
    ),
    *(
        a(f"pod-{n}", f"A pod {what}.", odd(what), rule)
        for n, (what, rule) in enumerate(
            {
                "on its node's network": "host_network",
                "without a registrar": "pod_not_injected",
                "without our label": "pod_not_injected",
                "whose IP may be another's": "pod_gone",
                "without an IP": "pod_without_ip",
                "that is being deleted": "pod_gone",
            }.items()
        )
    ),
    a(
        "contract",
        "Contracts that are not served, or said twice.",
        lambda w: tuple(
            new(w, headers={"X-Registrar-Contract": each})
            for each in (None, "", "2", "6", "3, 3", "-3", "3.0", "0x3", "9" * 400)
        ),
        "contract_unsupported",
    ),
    a(
        "contract-twice",
        "Two contracts in two headers.",
        lambda w: new(w, more=("X-Registrar-Contract: 5",)),
        "contract_unsupported",
    ),
)
