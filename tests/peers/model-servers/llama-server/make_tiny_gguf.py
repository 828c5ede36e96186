#!/usr/bin/env python3
"""Writes a small llama-architecture GGUF with random weights and a byte-level BPE tokenizer. No hub.

Needs the PyPI package gguf (which brings numpy). Same arguments, same file.
The model writes random printable ASCII and never ends by itself: an answer has exactly max_tokens tokens (or
fills the context), unless a grammar or schema ends it. The default (470 kB) writes thousands of tokens per
second, --slow (135 MB) some 150, for tests that need a request in flight.
"""

import argparse
from dataclasses import dataclass

import gguf  # type: ignore[import-not-found] # in an environment of its own
import numpy as np  # type: ignore[import-not-found] # the same

SPECIALS = ["<|pad|>", "<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h i", "l l", "o r"]
CLASSES = ["yes", "no"]
SPACE = "\u0120"  # as the byte alphabet writes it
# What a server takes a template to say: that it shows tools, how a call is written, where thinking ends.
TOOLS = "{%- if tools %}<|im_start|>system\nTools: {{ tools | tojson }}<|im_end|>\n{%- endif %}"
CALLS = (
    "{%- for c in m['tool_calls'] %}\n<tool_call>\n{\"name\": \"{{ c['function']['name'] }}\", "
    "\"arguments\": {{ c['function']['arguments'] | tojson }}}\n</tool_call>{%- endfor %}"
)
THOUGHTS = "{%- if m['reasoning_content'] %}<think>\n{{ m['reasoning_content'] }}\n</think>\n{%- endif %}"


def chat_template(*, tools: bool, thinking: bool) -> str:
    """Give the Jinja template of a chat; `thinking`: an answer begins with `<think>`."""
    thoughts, think = (THOUGHTS, "\n<think>") if thinking else ("", "")
    shown, calls = (TOOLS, CALLS) if tools else ("", "")
    message = "<|im_start|>{{ m['role'] }}\n" + thoughts + "{{ m['content'] }}" + calls + "<|im_end|>\n"
    answer = "<|im_start|>assistant" + think + "\n"
    return (
        shown
        + ("{%- for m in messages %}" + message + "{%- endfor %}")
        + ("{%- if add_generation_prompt %}" + answer + "{%- endif %}")
    )


@dataclass(frozen=True)
class Size:
    """Layers, width of the residual stream and of the feed-forward part, attention heads."""

    layers: int
    dim: int
    ff: int
    heads: int


TINY, SLOW = Size(2, 64, 128, 2), Size(8, 512, 2048, 8)


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for each of the 256 bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


def weights(size: Size, tokens: list[str], *, rank: bool) -> dict[str, np.ndarray]:
    """Make every tensor of the model; `rank`: with a head of two classes, as Qwen3's rerankers have it."""
    rng = np.random.default_rng(0)
    ones = np.ones(size.dim, np.float32)

    def random(rows: int, cols: int) -> np.ndarray:
        return rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(0.4 / cols**0.5)

    def residual(rows: int, cols: int) -> np.ndarray:
        # A matrix whose result is added to the residual stream: leaves channel 0 alone.
        m = random(rows, cols)
        m[0] = 0
        return m

    # Channel 0 holds the same positive value for every token, all the way up: the output matrix leans on it.
    embedding, output = random(len(tokens), size.dim), random(len(tokens), size.dim)
    embedding[:, 0] = 4
    for i, token in enumerate(tokens):
        printable = token.isascii() or token == SPACE
        output[i, 0] = -8 if token in SPECIALS else 0 if printable else -3
    w = {"token_embd.weight": embedding, "output_norm.weight": ones, "output.weight": output}
    for i in range(size.layers):
        for norm in ("attn_norm", "ffn_norm"):
            w[f"blk.{i}.{norm}.weight"] = ones
        for name in ("attn_q", "attn_k", "attn_v"):
            w[f"blk.{i}.{name}.weight"] = random(size.dim, size.dim)
        w[f"blk.{i}.attn_output.weight"] = residual(size.dim, size.dim)
        w[f"blk.{i}.ffn_gate.weight"] = random(size.ff, size.dim)
        w[f"blk.{i}.ffn_up.weight"] = random(size.ff, size.dim)
        w[f"blk.{i}.ffn_down.weight"] = residual(size.dim, size.ff)
        if rank:
            w[f"blk.{i}.attn_q_norm.weight"] = w[f"blk.{i}.attn_k_norm.weight"] = ones[
                : size.dim // size.heads
            ]
    if rank:
        w["cls.output.weight"] = random(len(CLASSES), size.dim)
    return w


def describe(w: gguf.GGUFWriter, size: Size, context: int, pooling: gguf.PoolingType | None) -> None:
    """Write the keys that describe the architecture."""
    w.add_name("tiny")
    w.add_context_length(context)
    w.add_embedding_length(size.dim)
    w.add_block_count(size.layers)
    w.add_feed_forward_length(size.ff)
    w.add_head_count(size.heads)
    w.add_head_count_kv(size.heads)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(size.dim // size.heads)
    w.add_rope_freq_base(10000.0)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    if pooling is not None:
        w.add_pooling_type(pooling)
    if pooling is gguf.PoolingType.RANK:
        w.add_classifier_output_labels(CLASSES)


def tokenizer(w: gguf.GGUFWriter, tokens: list[str], template: str | None) -> None:
    """Write the keys of the tokenizer."""
    types = [gguf.TokenType.CONTROL] * len(SPECIALS)
    types += [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIALS))
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([int(t) for t in types])
    w.add_token_merges(MERGES)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_pad_token_id(0)
    w.add_add_bos_token(False)
    if template is not None:
        w.add_chat_template(template)


def main() -> None:
    """Write the file that the command line asks for."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument(
        "--context", type=int, default=2048, help="trained context in tokens (default %(default)s)"
    )
    p.add_argument("--no-tools", action="store_true", help="a chat template that ignores tools")
    p.add_argument(
        "--thinking", action="store_true", help="a chat template in which an answer begins by thinking"
    )
    p.add_argument("--embed", action="store_true", help="set mean pooling: an embedding model")
    p.add_argument("--rerank", action="store_true", help="a reranker, with a head that ranks")
    p.add_argument("--slow", action="store_true", help="33 million weights more")
    a = p.parse_args()
    size = SLOW if a.slow else TINY
    tokens = SPECIALS + byte_alphabet() + [m.replace(" ", "") for m in MERGES]
    # of the architectures with such a head qwen3 is the one that differs least from llama
    w = gguf.GGUFWriter(a.out, "qwen3" if a.rerank else "llama")
    pooling = gguf.PoolingType.RANK if a.rerank else gguf.PoolingType.MEAN if a.embed else None
    describe(w, size, a.context, pooling)
    template = chat_template(tools=not a.no_tools, thinking=a.thinking)
    tokenizer(w, tokens, None if a.rerank else template)
    for name, tensor in weights(size, tokens, rank=a.rerank).items():
        w.add_tensor(name, tensor)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
