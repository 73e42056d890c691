"""`python curator.py URL RECORDS`: two steps, each a question to a model for every record. Prints the seconds as JSON."""

import json
import os
import sys
import tempfile
import time

url, records = sys.argv[1], int(sys.argv[2])
os.environ |= {"CURATOR_CACHE_DIR": tempfile.mkdtemp(), "TELEMETRY_ENABLED": "0", "CURATOR_DISABLE_RICH_DISPLAY": "1"}
os.environ |= {"OPENAI_API_KEY": "key", "OPENAI_API_BASE": f"{url}/v1", "OPENAI_BASE_URL": f"{url}/v1"}

from bespokelabs import curator  # noqa: E402

many = 1_000_000_000
backend = {
    "base_url": f"{url}/v1",
    "api_key": "key",
    "max_concurrent_requests": 320,
    "max_requests_per_minute": many,
    "max_tokens_per_minute": many,
}


class Ask(curator.LLM):
    def prompt(self, row):
        return f"say {row['n']}"

    def parse(self, row, response):
        return {"n": row["n"], "said": response}


began = time.monotonic()
data = [{"n": n} for n in range(records)]
for _ in range(2):
    answered = Ask(model_name="openai/mock", backend="litellm", backend_params=backend)(data)
    data = list(getattr(answered, "dataset", answered))
assert len(data) == records, f"{len(data)} records"
print(json.dumps({"seconds": time.monotonic() - began}))
