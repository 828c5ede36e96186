#!/usr/bin/env python3
"""Writes a small llama-architecture GGUF with random weights and a byte-level BPE tokenizer. No hub.

Needs the PyPI package gguf (which brings numpy). Same arguments, same file.
The model writes random printable ASCII and never ends by itself: an answer has exactly max_tokens tokens (or fills
the context), unless a grammar or schema ends it. The default (470 kB) writes thousands of tokens per second, --slow
(135 MB) some 150, for tests that need a request in flight.
"""

import argparse

import gguf
import numpy as np

SPECIALS = ["<|pad|>", "<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h i", "l l", "o r"]
SPACE = "\u0120"  # as the byte alphabet writes it
TOOLS = "{%- if tools %}<|im_start|>system\nTools: {{ tools | tojson }}<|im_end|>\n{%- endif %}"
CHAT = (
    "{%- for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- endif %}"
)


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for each of the 256 bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument(
        "--context", type=int, default=2048, help="trained context length in tokens (default %(default)s)"
    )
    p.add_argument("--no-tools", action="store_true", help="a chat template that ignores tools")
    p.add_argument("--embed", action="store_true", help="set mean pooling: an embedding model")
    p.add_argument("--slow", action="store_true", help="33 million weights more")
    a = p.parse_args()
    layers, dim, ff, heads = (8, 512, 2048, 8) if a.slow else (2, 64, 128, 2)
    tokens = SPECIALS + byte_alphabet() + [m.replace(" ", "") for m in MERGES]
    types = [gguf.TokenType.CONTROL] * len(SPECIALS) + [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIALS))
    rng = np.random.default_rng(0)

    def random(rows: int, cols: int) -> np.ndarray:
        return rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(0.4 / cols**0.5)

    def residual(rows: int, cols: int) -> np.ndarray:
        """A matrix whose result is added to the residual stream: leaves channel 0 alone."""
        m = random(rows, cols)
        m[0] = 0
        return m

    # channel 0 holds the same positive value for every token, all the way up: the output matrix can lean on it
    embedding, output = random(len(tokens), dim), random(len(tokens), dim)
    embedding[:, 0] = 4
    for i, token in enumerate(tokens):
        printable = token.isascii() or token == SPACE
        output[i, 0] = -8 if token in SPECIALS else 0 if printable else -3

    w = gguf.GGUFWriter(a.out, "llama")
    w.add_name("tiny")
    w.add_context_length(a.context)
    w.add_embedding_length(dim)
    w.add_block_count(layers)
    w.add_feed_forward_length(ff)
    w.add_head_count(heads)
    w.add_head_count_kv(heads)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(dim // heads)
    w.add_rope_freq_base(10000.0)
    w.add_vocab_size(len(tokens))
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    if a.embed:
        w.add_pooling_type(gguf.PoolingType.MEAN)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([int(t) for t in types])
    w.add_token_merges(MERGES)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_pad_token_id(0)
    w.add_add_bos_token(False)
    w.add_chat_template(CHAT if a.no_tools else TOOLS + CHAT)
    w.add_tensor("token_embd.weight", embedding)
    w.add_tensor("output_norm.weight", np.ones(dim, np.float32))
    w.add_tensor("output.weight", output)
    for i in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            w.add_tensor(f"blk.{i}.{norm}.weight", np.ones(dim, np.float32))
        for name in ("attn_q", "attn_k", "attn_v"):
            w.add_tensor(f"blk.{i}.{name}.weight", random(dim, dim))
        w.add_tensor(f"blk.{i}.attn_output.weight", residual(dim, dim))
        w.add_tensor(f"blk.{i}.ffn_gate.weight", random(ff, dim))
        w.add_tensor(f"blk.{i}.ffn_up.weight", random(ff, dim))
        w.add_tensor(f"blk.{i}.ffn_down.weight", residual(dim, ff))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
