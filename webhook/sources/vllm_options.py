"""Every option of vLLM's server, by how many words it takes.

Listed from the parser of vLLM 0.32.0 itself (`make_arg_parser` of `vllm/entrypoints/launchers/cli_args.py`);
`tests/real/test_vllm_parser.py` compares. `/` stands between an option's spellings; `|None` marks those to
which `None` and an empty text mean that they are not given (`optional_type` of `vllm/engine/arg_utils.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from webhook.sources.options import Option
from webhook.sources.spellings import Spellings

_ONE: Final = """
    --additional-config --all2all-backend --allowed-headers --allowed-local-media-path --allowed-methods
    --allowed-origins --anthropic-disabled-thinking-effort --api-server-count/-asc
    --attention-backend|None --attention-config/-ac --aux-output-config --block-size
    --chat-template-content-format --chat-template|None --code-revision|None --cohere-format
    --compilation-config/-cc --config --config-format --convert --cp-kv-cache-interleave-size
    --cpu-distributed-timeout-seconds|None --cpu-offload-gb --custom-histogram-buckets|None
    --data-parallel-address/-dpa --data-parallel-backend/-dpb --data-parallel-rank/-dpn
    --data-parallel-rpc-port/-dpp --data-parallel-size-local/-dpl --data-parallel-size/-dp
    --data-parallel-start-rank/-dpr --data-parallel-supervisor-port --dbo-decode-token-threshold
    --dbo-prefill-token-threshold --dcp-comm-backend|None --dcp-kv-cache-interleave-size
    --decode-context-parallel-size/-dcp --default-chat-template-kwargs --default-mm-loras|None
    --device-ids --diffusion-config/-dc|None --disable-access-log-for-endpoints|None
    --distributed-executor-backend|None --distributed-timeout-seconds|None --download-dir|None
    --dp-supervisor-probe-failure-threshold --dp-supervisor-probe-interval-s
    --dp-supervisor-probe-timeout-s --dp-sync-interval --dtype --ec-manager-config
    --ec-transfer-config|None --elastic-ep-max-dp-size --engram-config|None --eplb-config
    --expert-placement-strategy --fault-tolerance-config --fingerprint-mode --fingerprint-value|None
    --gdn-prefill-backend --generation-config --gpu-memory-utilization/--device-memory-utilization
    --grpc-port|None --h11-max-header-count --h11-max-incomplete-event-size --hf-config-path|None
    --hf-overrides --host|None --io-processor-plugin|None --ir-op-priority --jit-monitor-mode
    --kda-decode-backend --kda-prefill-backend --kernel-config --kv-cache-dtype
    --kv-cache-memory-bytes|None --kv-cache-metrics-sample --kv-events-config|None --kv-offloading-backend
    --kv-offloading-size|None --kv-transfer-config|None --limit-mm-per-prompt --linear-backend
    --load-format --log-config-file --log-level --logging-config --logprobs-mode
    --long-prefill-token-threshold --lora-dtype --mamba-backend --mamba-block-size|None
    --mamba-cache-dtype --mamba-cache-mode --mamba-cache-philox-rounds --mamba-ssm-cache-dtype
    --mamba-ssu-algorithm|None --master-addr --master-port --max-cpu-loras|None
    --max-cudagraph-capture-size --max-log-len|None --max-logprobs --max-lora-cls-labels|None
    --max-lora-rank --max-loras --max-model-len --max-num-active-seqs|None --max-num-batched-tokens
    --max-num-queued-reqs|None --max-num-queued-tokens|None --max-num-scheduled-tokens|None --max-num-seqs
    --max-parallel-loading-workers|None --media-io-kwargs --mm-encoder-attn-backend|None
    --mm-encoder-attn-dtype|None --mm-encoder-fp8-scale-path|None --mm-encoder-fp8-scale-save-margin
    --mm-encoder-fp8-scale-save-path|None --mm-encoder-tp-mode --mm-hasher-algorithm
    --mm-ipc-gpu-memory-gb --mm-processor-cache-gb --mm-processor-cache-type --mm-processor-device
    --mm-processor-kwargs|None --mm-shm-cache-max-object-size-mb --mm-tensor-ipc --model
    --model-class-overrides --model-impl --model-loader-extra-config --moe-backend --nnodes/-n
    --node-rank/-r --num-gpu-blocks-override|None --offload-backend --offload-group-size
    --offload-num-in-group --offload-prefetch-step --optimization-level --otlp-traces-endpoint|None
    --override-generation-config --per-request-spec-decode-metrics --performance-mode
    --pipeline-parallel-size/-pp --pooler-config|None --port --prefill-context-parallel-size/-pcp
    --prefill-schedule-interval --prefix-cache-retention-interval|None --prefix-caching-hash-algo
    --prefix-match-unit|None --profiler-config --pt-load-map-location --quantization-config|None
    --quantization/-q|None --reasoning-config|None --reasoning-parser --reasoning-parser-plugin
    --renderer-num-workers --replayssm-buffer-len --response-role --revision|None --root-path|None
    --runner --safetensors-load-strategy|None --safetensors-prefetch-block-size
    --safetensors-prefetch-num-threads --scheduler-cls|None --scheduling-policy --seed
    --show-hidden-metrics-for-version|None --shutdown-timeout --sparse-indexer-topk-backend
    --spec-method|None --spec-model|None --spec-tokens --speculative-config/-sc|None
    --sse-keep-alive-interval --ssl-ca-certs|None --ssl-cert-reqs --ssl-certfile|None --ssl-ciphers|None
    --ssl-keyfile|None --stream-interval --structured-outputs-config --tensor-parallel-size/-tp
    --tokenizer --tokenizer-mode --tokenizer-revision|None --tool-call-parser|None --tool-parser-plugin
    --tool-server|None --tool-strict-level --ubatch-size --uds|None --uvicorn-log-level
    --video-pruning-method --video-pruning-rate|None --watermark --watermark-config|None
    --weight-transfer-config|None --worker-cls --worker-extension-cls
"""
_MANY: Final = """
    --allowed-media-domains|None --api-key|None --collect-detailed-traces|None --cpu-offload-params
    --cudagraph-capture-sizes --ignore-patterns --kv-cache-dtype-skip-layers --logits-processors|None
    --lora-modules|None --lora-target-modules|None --numa-bind-cpus|None --numa-bind-nodes|None
    --offload-params --served-model-name|None --sleep-preserve-parameter-names
"""
_OPTIONAL: Final = """
    --hf-token
"""
# Without a `--no-` form.
_FLAGS: Final = """
    --aggregate-engine-logging --data-parallel-multi-port-external-lb/-dpm --disable-log-stats --grpc
    --headless --help/-h
"""
# With a `--no-` form.
_SWITCHES: Final = """
    --allow-credentials --allow-deprecated-quantization --async-scheduling --cohere-is-reasoning-model
    --cudagraph-metrics --data-parallel-external-lb/-dpe --data-parallel-hybrid-lb/-dph --dcp-q-replicate
    --disable-cascade-attn --disable-chunked-mm-input --disable-custom-all-reduce --disable-fastapi-docs
    --disable-hybrid-kv-cache-manager --disable-nccl-for-dp-synchronization --disable-sliding-window
    --disable-uvicorn-access-log --enable-auto-tool-choice --enable-batch-sharded-sampling
    --enable-chunked-prefill --enable-cumem-allocator --enable-dbo --enable-elastic-ep
    --enable-ep-weight-filter --enable-eplb --enable-expert-parallel/-ep --enable-fault-tolerance
    --enable-flash-late-interaction --enable-flashinfer-autotune --enable-force-include-usage
    --enable-hc-sp --enable-layerwise-nvtx-tracing --enable-log-deltas --enable-log-outputs
    --enable-log-requests --enable-logging-iteration-details --enable-lora
    --enable-mamba-cache-stochastic-rounding --enable-mamba-shared-prefix-checkpoint --enable-mfu-metrics
    --enable-mixed-moe-lora-format --enable-mm-embeds --enable-moe-shared-loras --enable-nccl-comm-suspend
    --enable-offline-docs --enable-per-request-metrics --enable-prefix-caching --enable-prompt-embeds
    --enable-prompt-tokens-details --enable-request-id-headers --enable-return-routed-experts
    --enable-scale-out --enable-server-load-tracking --enable-shm-tensor-arena --enable-sleep-mode
    --enable-ssl-refresh --enable-tokenizer-info-endpoint --enable-tower-connector-lora
    --enable-trace-replay --enforce-eager --exclude-tools-when-tool-choice-none
    --fail-on-environ-validation --fully-sharded-loras --interleave-mm-strings --jit-monitor-verbose
    --kv-cache-metrics --kv-sharing-fast-prefill --language-model-only --log-error-stack
    --long-prefill-token-threshold-adaptive --mm-device-do-normalize --mm-encoder-only --numa-bind
    --ray-workers-use-nsight --return-sampling-mask --return-tokens-as-token-ids
    --scheduler-reserve-full-isl --skip-mm-profiling --skip-tokenizer-init --sleep-mode-offload-cudagraph
    --specialize-active-lora --swa-bounded-replay --tokens-only --trust-remote-code
    --trust-request-chat-template --trust-request-mm-kwargs --use-fp64-gumbel --use-replayssm
    --use-tqdm-on-load
"""
# What versions before knew: an old image takes them, and an abbreviation may have meant one of them
# (vLLM 0.3 to 0.11, `vllm/engine/arg_utils.py`).
_OLD_ONE: Final = """
    --block-manager-version --device --eplb-step-interval --eplb-window-size --guided-decoding-backend
    --image-feature-size --image-input-shape --image-input-type --image-token-id
    --logits-processor-pattern --long-lora-scaling-factors --lora-extra-vocab-size
    --max-context-len-to-capture --max-long-partial-prefills --max-num-partial-prefills --max-paddings
    --max-prompt-adapter-token --max-prompt-adapters --max-seq-len-to-capture --ngram-prompt-lookup-max
    --ngram-prompt-lookup-min --num-lookahead-slots --num-redundant-experts --num-scheduler-steps
    --num-speculative-tokens --override-attention-dtype --override-neuron-config --override-pooler-config
    --preemption-mode --qlora-adapter-name-or-path --quantization-param-path --rope-scaling --rope-theta
    --scheduler-delay-factor --spec-decoding-acceptance-method --speculative-disable-by-batch-size
    --speculative-draft-tensor-parallel-size/-spec-draft-tp --speculative-max-model-len
    --speculative-model --speculative-model-quantization --swap-space --task --tokenizer-pool-extra-config
    --tokenizer-pool-size --tokenizer-pool-type --typical-acceptance-sampler-posterior-alpha
    --typical-acceptance-sampler-posterior-threshold
"""
_OLD_MANY: Final = """
    --cuda-graph-sizes --prompt-adapters
"""
_OLD_OPTIONAL: Final = """
    --disable-logprobs-during-spec-decoding --multi-step-stream-outputs
"""
_OLD_FLAGS: Final = """
    --calculate-kv-scales --disable-async-output-proc --disable-frontend-multiprocessing
    --disable-log-requests --disable-mm-preprocessor-cache --enable-multimodal-encoder-data-parallel
    --enable-prompt-adapter --enable-reasoning --engine-use-ray --eplb-log-balancedness
    --guided-decoding-disable-additional-properties --guided-decoding-disable-any-whitespace
    --guided-decoding-disable-fallback --speculative-disable-mqa-scorer --use-v2-block-manager
    --worker-use-ray
"""


def _options(text: str, **kind: bool) -> Iterator[tuple[str, Option]]:
    """Give the spellings of one kind of options with what they mean."""
    for entry in text.split():
        spelled, _, unset = entry.partition("|")
        names = spelled.split("/")
        option = Option(names[0][2:], unset=bool(unset), **kind)
        for name in names:
            yield name, option


def _switches(text: str) -> Iterator[tuple[str, Option]]:
    for name, option in _options(text, flag=True):
        yield name, option
        if name[:2] == "--":
            yield f"--no-{name[2:]}", Option(option.name, flag=True, off=True)


# The options of vLLM 0.32.
CURRENT: Final = MappingProxyType(
    {
        **dict(_options(_ONE)),
        **dict(_options(_MANY, many=True)),
        **dict(_options(_OPTIONAL, optional=True)),
        **dict(_options(_FLAGS, flag=True)),
        **dict(_switches(_SWITCHES)),
        # the only one whose values add up
        "--middleware": Option("middleware", append=True),
    }
)
_OLD: Final = MappingProxyType(
    {
        **dict(_options(_OLD_ONE)),
        **dict(_options(_OLD_MANY, many=True)),
        **dict(_options(_OLD_OPTIONAL, optional=True)),
        **dict(_options(_OLD_FLAGS, flag=True)),
    }
)
SERVER: Final = Spellings(CURRENT, _OLD)
