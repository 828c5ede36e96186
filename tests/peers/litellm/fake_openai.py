# tiny fake OpenAI backend; one per port; answers with its port so that routing can be seen
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def do_GET(self):
        self.out({"object": "list", "data": [{"id": "fake", "object": "model"}]})

    def do_POST(self):
        b = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if self.path.endswith("/embeddings"):
            return self.out(
                {
                    "object": "list",
                    "model": b.get("model"),
                    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
                    "usage": {"prompt_tokens": 1, "total_tokens": 1},
                }
            )
        if self.path.endswith("/api/chat"):
            return self.out(
                {
                    "model": b.get("model"),
                    "created_at": "2024-01-01T00:00:00Z",
                    "message": {"role": "assistant", "content": "ollama port %d" % self.server.server_port},
                    "done": True,
                    "prompt_eval_count": 10,
                    "eval_count": 5,
                }
            )
        self.out(
            {
                "id": "c1",
                "object": "chat.completion",
                "created": 1,
                "model": b.get("model"),
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {
                            "role": "assistant",
                            "content": "port %d path %s auth %s model %s"
                            % (
                                self.server.server_port,
                                self.path,
                                self.headers.get("authorization"),
                                b.get("model"),
                            ),
                        },
                    }
                ],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )

    def out(self, o):
        d = json.dumps(o).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(d)))
        self.end_headers()
        self.wfile.write(d)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
