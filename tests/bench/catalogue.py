"""Which benchmarks there are, and what each figure is."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from tests.bench import (
    brakes,
    brokering,
    capabilities,
    churning,
    evasions,
    faults,
    image_size,
    judging,
    keys,
    lifecycle,
    mutate,
    on_node,
    probing,
    reach,
    reaping,
    registering,
    rolling,
    rotation,
    starts,
    steady,
    updating,
    vllm_parser,
)
from tests.bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Bench:
    """One run that gives some figures; `minutes` is how long it takes, about."""

    figures: tuple[str, ...]
    minutes: float
    measure: Callable[[], Coroutine[None, None, list[Figure]]]


BENCHES: Final = (
    Bench(("registrar_start",), 0.5, steady.measure_start),
    Bench(("mutate_small", "mutate_small_p99", "mutate_large", "mutate_large_p99"), 2.5, mutate.measure),
    Bench(("ready_to_routable", "own_share"), 9, registering.measure),
    Bench(("drain_overrun",), 4, rolling.measure_overrun),
    Bench(("rolling_restart", "rolling_restart_control"), 12, rolling.measure),
    Bench(("registrar_memory", "steady_calls"), 11, steady.measure),
    Bench(("update_gap",), 4, updating.measure),
    Bench(("capability_truth", "capability_unknowns", "probe_tokens"), 3, capabilities.measure),
    Bench(("probe_time",), 3, probing.measure),
    Bench(("evasions",), 0.1, evasions.measure),
    Bench(("keys_in_pods",), 0.1, keys.measure),
    Bench(("image_size",), 0.5, image_size.measure),
    Bench(("token_reach",), 2, reach.measure),
    Bench(("broker_share",), 3, brokering.measure),
    Bench(("thousand_starts",), 5, starts.measure),
    Bench(("rotation_failures",), 2.5, rotation.measure),
    Bench(("false_denials",), 0.1, judging.measure_false_denials),
    Bench(("validate_small", "validate_large", "validate_large_p99"), 2.5, mutate.measure_validate),
    Bench(("verdict_100", "verdict_3mb", "policy_1000_patterns"), 3, judging.measure),
    Bench(("brake_breaches", "brake_breaches_control"), 4, brakes.measure),
    Bench(("reap_time",), 7, reaping.measure),
    Bench(("churn", "churn_memory", "churn_calls"), 11, churning.measure),
    Bench(("churn_control",), 5, churning.measure_control),
    Bench(("vllm_parser_differential", "unresolved_share"), 0.5, vllm_parser.measure),
    Bench(("fault_matrix",), 25, faults.measure),
    Bench(("lifecycle_creates",), 10, lifecycle.measure),
    Bench(("install_time", "node_rollout", "webhook_memory", "broker_memory"), 6, on_node.measure),
)
NAMES: Final = (
    *("ready_to_routable", "own_share", "rolling_restart", "rolling_restart_control", "drain_overrun"),
    *("update_gap",),
    *("mutate_small", "mutate_small_p99", "mutate_large", "mutate_large_p99"),
    *("registrar_memory", "registrar_start", "steady_calls"),
    *("capability_truth", "capability_unknowns", "probe_tokens", "probe_time"),
    *("evasions", "false_denials"),
    *("rotation_failures",),
    *("validate_small", "validate_large", "validate_large_p99"),
    *("verdict_100", "verdict_3mb", "policy_1000_patterns"),
    *("vllm_parser_differential", "unresolved_share"),
    *("token_reach", "keys_in_pods", "broker_share", "thousand_starts"),
    *("brake_breaches", "brake_breaches_control", "reap_time"),
    *("churn", "churn_control", "churn_memory", "churn_calls"),
    *("image_size",),
    *("fault_matrix",),
    *("lifecycle_creates",),
    *("node_rollout", "install_time", "webhook_memory", "broker_memory"),
)
DESCRIPTIONS: Final = """\
- **ready_to_routable**: a server is ready → first successful chat by a new name on the LiteLLM replica
  that was not written to; 200 trials on real LiteLLM, p99. The first chat is sent when the create call has
  returned: an earlier one would put the name into that replica's 2 s memory of missing names.
- **own_share**: of that, until the create call was sent: the registrar's own share. p99.
- **rolling_restart**: requests failed, cut or retried while 3 pods are replaced again and again behind 2 real
  LiteLLM replicas (30 s reload, `num_retries: 0`), 25 requests/s, a quarter of them 5 s streams; errors
  inside a stream count.
- **rolling_restart_control**: the same with the drain switched off, which must lose some.
- **drain_overrun**: requests lost when `propagation` is set too short (12 s against a 30 s reload).
- **update_gap**: requests failed, cut or retried while a row of theirs is updated, and while LoRA adapters
  are added and removed beside it, 20 requests/s to 2 real LiteLLM replicas (30 s reload); each adapter's own
  requests, 20/s from its row's creation until it is unloaded, count too. The server is a stand-in.
- **mutate_small, mutate_large**: reviews per second over TLS, keep-alive, 8 clients, for a pod of 2 and of
  100 containers (74 kB), as a ratio to a bare aiohttp TLS app that parses the same review with the same JSON
  library and allows it. **_p99**: latency with one client.
  Why mutate_small misses its goal: the bare app needs about 105 µs for a small review in all, so 0.6 leaves
  70 µs for the answer; deciding and writing the patch of a container with some 25 variables takes 170 µs in
  a tight loop and more between network calls. No decision is cached: that would serve this benchmark, which
  sends one review again and again, more than a cluster. A pod's creation waits 0.6 ms (p99) for it.
- **registrar_memory**: resident memory after 10 minutes of serving, as a ratio to a bare python + asyncio +
  httpx loop.
- **registrar_start**: process start → first poll of the server.
- **steady_calls**: calls to LiteLLM per row and minute at rest, the higher one of 1 and 20 models.
- **capability_truth**: facts that are said otherwise than they are (yes for no, no for yes, a wrong number),
  over the recorded answers in `tests/capabilities` and the real servers of `tests/real/truth.py`:
  llama-server seven ways, Ollama with six models, vLLM five ways.
- **capability_unknowns**: of the same, facts called unknown though the server's API tells them.
- **probe_tokens**: tokens that the real vLLMs and llama-servers read and wrote meanwhile, by their own
  counters, and models that Ollama loaded.
- **probe_time**: start of the registrar → all rows written with what a ready real vLLM tells, less the same
  for a registrar that puts no questions; the difference of the two p90.
- **evasions**: pods of `tests/policy/evasions` not refused by the rule that they try to get
  past: models and code named by every spelling, variable, script, hook, volume and container.
- **false_denials**: manifests of `tests/policy/honest` (after charts, tutorials, platforms) of which anything
  is refused: by the policy that ships with `defaults.mode: enforce`, and those in `strict` also by the policy
  beside them, which denies whatever it can.
- **rotation_failures**: pods that were made without their registrar by a real API server, 32 at a time, while
  two replicas of `serve --tls-secret` renew their certificate and change their CA (lives of 45 s, an
  overlap of 4 s); and handshakes with each replica, ten a second, that did not verify against the `caBundle`
  of that moment.
- **validate_small, validate_large**: like mutate_*, for /validate with the policy that ships.
  Why they miss their goal: 0.5 leaves as much time for the whole verdict as the bare app needs to read, parse
  and answer (some 105 µs for a small review); reading two containers as their kubelet, shell and parser would
  takes about 130 µs, 30 rules some 100 more. As with mutate_small no verdict is remembered from pod to pod.
  A large pod waits 7 ms (p99) for it.
- **verdict_100**: the slowest verdict (reading and all rules of that strict policy, in process) of pods with
  100 containers: helpers, servers, scripts, pulls, init containers. **verdict_3mb**: of pods of 3 MB, some
  90 shapes (`tests/policy/hostile.py`): one giant script or argument, as many of anything as fit in.
- **policy_1000_patterns**: the time of a verdict under a policy of 1,000 patterns, as a ratio to one of 10.
- **vllm_parser_differential**: command lines that vLLM's own parser takes (both entry points), random in
  options, spelling and order, of which model, revision, trust flag, served names or port are read otherwise
  than it reads them, and not said to be unknown. **unresolved_share**: of these, without shell, variables or
  `--config`, those of which something is said to be unknown: mostly abbreviations that an older version with
  other options would have taken for another one.
- **token_reach**: rows beyond its own that a pod's token writes or reads, and rows of its own that say what
  is not so or take others' names, over the table of attacks in `tests/real/broker/attacks`: real tokens of
  a real API server, the broker as a process, a real LiteLLM behind it. Beside it, what the attacks on rows
  alone reach before a broker that takes any id for the pod's own.
- **keys_in_pods**: LiteLLM keys, and references to Secrets that a pod did not have before, in the pods of
  `tests/golden` and `tests/policy/honest` after their injection in broker mode, as native sidecar and as
  ordinary container. A server's own API key is referred to by its registrar too, as the pod had it.
- **broker_share**: time of a registrar's call at its client, over TLS, less the time in which LiteLLM had it
  (as a proxy before the real LiteLLM sees it); p99 of all calls of a row's life (readiness, own rows, rows of
  the name, creation, look, change, block, deletion, state of the pod) by 20 pods of a real API server, three
  calls a second. TokenReview, GET of the pod and the claim of a name at the API server are in it, and what
  client and proxy take themselves (shown beside it); no call waits for its turn at that rate.
- **thousand_starts**: registrars that were not registered after 240 s, and lines of trouble (PROBLEM) in
  their logs: 1,000 that start within ten seconds before one broker and a stand-in LiteLLM as slow as the real
  one (`tests/standins/litellm_pace.py`: ten creations a second), then 100 before a real LiteLLM without rows.
  Pods, tokens and reviews are of a real API server; 70 % of the pods are in one namespace, the others in ten.
  Five of each are processes, the others the registrar's code on one event loop.
- **brake_breaches**: removals and blocks that the reaper must not make, over 1,000 random sequences of 60
  changes (pods begin, crash, are replaced; nodes come and go; answers of API server and LiteLLM fail, are
  empty or partial, come from a proxy or from another cluster; two replicas believe that they lead): of living
  pods' rows, of others' rows, by a bad answer, beyond the share. The reaper's own code; API server and
  LiteLLM are in memory. **brake_breaches_control**: the same without brakes and without fresh proof.
- **reap_time**: from the moment that a pod's object is gone, deleted by force just after its registrar and
  its server were killed (SIGKILL), until its row is gone from LiteLLM's database; p99 of 40 pods of a real
  API server that crash at random moments within 160 s, two real LiteLLM replicas (30 s reload), the grace as
  shipped (20 s). Nodes are not looked at: they have no kubelet.
- **churn**: foreign writes, stale rows and duplicates over 1,000 lives of pods of a real API server, 48 at a
  time, before two brokers with the reaper and two real LiteLLM replicas (30 s reload). Half of them drain,
  the others are killed (some while they register or drain, some leave a pod that says Failed); IPs and names
  are soon another pod's. Meanwhile one broker is killed again and again, the other paused for longer than a
  Lease lasts, and a node is silent for three minutes. Each write is seen before LiteLLM sees it: one to a row
  of nobody, of a pod that ended over 40 s ago (deletions aside), or the deletion of a living pod's row is
  foreign, and so is any byte that changes in rows of others. A row is stale when it is there two minutes
  after the last life; a pod that lives on without its one open row counts too. Beside it: how long rows were
  seen after their own pod's end, while the broker that leads was killed or paused about once a minute.
  **churn_control**: 60 lives without the reaper.
- **churn_memory**: what the broker that is never killed grows by (VmRSS) after the first quarter of that
  run. Of each pod it keeps what its token, rate, claims and Events were, and forgets the oldest of 2,000
  (Events) to 20,000 (rates, claims): a thousand lives do not fill that. **churn_calls**: all that LiteLLM is
  asked meanwhile, by registrars, brokers and reaper, for each life.
- **image_size**: bytes of the files in the layers of the registrar's image over its base (python:3.13-slim).
- **fault_matrix**: rows that are wrong (missing, nobody's, of a wrong content, blocked without a reason, or
  foreign ones that were written) 100 s after each fault of `tests/real/faults/table`. Pods that register,
  serve, are updated and drain meet each of them at once, by a broker and, where there can be such a fault, by
  LiteLLM's own key: two real LiteLLMs (2 s reload), a real API server with our webhook, two broker processes
  with the reaper (grace 4 s).
- **lifecycle_creates**: pods that a real API server refused, from before `helm install` until after
  `helm uninstall`, and labelled ones that were made without a registrar between the first ready replica
  (available: for `minReadySeconds`, until kube-proxy knows of it) and the uninstall. Eight pods a second,
  half of them labelled, and bursts of 32 labelled ones; by Helm 3 and 4 each: install, upgrades of values,
  image, age of certificates (a minute) and failure policies (`Fail` for all), then a renewal and another CA,
  a rollback, the uninstall.
- **node_rollout**: requests failed, cut or retried while Deployments of llama-server on a real node are
  restarted (`kubectl rollout restart`) and scaled from 2 to 4 and back, each under 12 requests/s to 2 real
  LiteLLM replicas (30 s reload, `num_retries: 0`), a quarter of them streams.
- **install_time**: `helm install --wait` on that node, `helm test` and a labelled Deployment, as the README
  tells: until its row is in LiteLLM. All images are on the node.
- **webhook_memory**: resident memory (VmRSS) of the larger replica after 2,000 labelled pods were asked for
  at the API server (dry runs), 32 at a time.
- **broker_memory**: of the larger replica, 10 s after 1,000 connections that were open to it at a time have
  been closed. Beside it, before them and with all of them open.
"""
